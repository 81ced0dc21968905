"""With FastAPI in front, the HTTP layer gives the same responses."""

from __future__ import annotations

from typing import Any

import aiohttp

from autogrocery.gateway.wire.orders import PreviewIn
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.http.app import App, Request, Route
from autogrocery.kit.http.server import serve_http
from bench.framework import FastApiApp
from bench.order_client import CONFIRM_PATH, PREVIEW_PATH, WEBHOOK_PATH

BODIES: dict[str, Any] = {
    PREVIEW_PATH: {"items": [{"sku": "milk", "quantity": 2}]},
    CONFIRM_PATH: {"order_id": "01890000-0000-7000-8000-000000000000"},
    WEBHOOK_PATH: {"type": "order.picked"},
    "/other": {"name": "value"},
}


async def echo(request: Request) -> Any:
    return request.body


async def raise_overloaded(_request: Request) -> Any:
    raise Unavailable("overloaded", "Not now.")


async def responses(app: type[App] = App) -> dict[str, tuple[int, str, Any]]:
    table = [
        Route("POST", PREVIEW_PATH, echo, auth=False, body=PreviewIn, answer=PreviewIn),
        Route("POST", CONFIRM_PATH, raise_overloaded, auth=False, body=dict),
        Route("POST", WEBHOOK_PATH, echo, auth=False, body=dict),
        Route("POST", "/other", echo, auth=False, body=dict),
    ]
    received = {}
    async with serve_http(app(table), "127.0.0.1", 0, "TEST_ADDR") as port, aiohttp.ClientSession() as session:
        for path, body in BODIES.items():
            headers = {"x-request-id": "a-request-of-a-test"}
            async with session.post(f"http://127.0.0.1:{port}{path}", json=body, headers=headers) as response:
                received[path] = (
                    response.status,
                    response.headers["x-request-id"],
                    await response.json(content_type=None),
                )
    return received


async def test_responses_with_and_without_fastapi_are_equal() -> None:
    plain = await responses()
    assert [status for status, _, _ in plain.values()] == [200, 503, 200, 200]
    assert await responses(FastApiApp) == plain
