"""What the bench puts before our HTTP layer answers as the layer does."""

from __future__ import annotations

from typing import Any

import aiohttp

from autogrocery.gateway.wire.orders import PreviewIn
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.http.app import App, Request, Route
from autogrocery.kit.http.server import serve_http
from bench.framework import FramedApp
from bench.shoppers import CONFIRM_PATH, PREVIEW_PATH, WEBHOOK_PATH

ASKED: dict[str, Any] = {
    PREVIEW_PATH: {"items": [{"sku": "milk", "quantity": 2}]},
    CONFIRM_PATH: {"order_id": "01890000-0000-7000-8000-000000000000"},
    WEBHOOK_PATH: {"type": "order.picked"},
    "/other": {"of": "no matter"},
}


async def echo(request: Request) -> Any:
    return request.body


async def refuse(_request: Request) -> Any:
    raise Unavailable("overloaded", "Not now.")


async def answers(app: type[App] = App) -> dict[str, tuple[int, str, Any]]:
    table = [
        Route("POST", PREVIEW_PATH, echo, auth=False, body=PreviewIn, answer=PreviewIn),
        Route("POST", CONFIRM_PATH, refuse, auth=False, body=dict),
        Route("POST", WEBHOOK_PATH, echo, auth=False, body=dict),
        Route("POST", "/other", echo, auth=False, body=dict),
    ]
    found = {}
    async with serve_http(app(table), "127.0.0.1", 0, "TEST_ADDR") as port, aiohttp.ClientSession() as session:
        for path, body in ASKED.items():
            headers = {"x-request-id": "a-request-of-a-test"}
            async with session.post(f"http://127.0.0.1:{port}{path}", json=body, headers=headers) as answer:
                found[path] = answer.status, answer.headers["x-request-id"], await answer.json(content_type=None)
    return found


async def test_a_framework_in_front_changes_no_answer() -> None:
    alone = await answers()
    assert [status for status, _, _ in alone.values()] == [200, 503, 200, 200]
    assert await answers(FramedApp) == alone
