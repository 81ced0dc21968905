"""FastAPI in front of the gateway's HTTP layer, to measure what its routes, bodies and responses would cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 - pydantic reads annotations

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from autogrocery.kit.http.app import App
from bench.order_client import CONFIRM_PATH, PREVIEW_PATH, WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    AsgiCall = Callable[[App, dict[str, Any], Any, Any], Awaitable[None]]

OWN_HEADERS: Final = {b"content-length", b"content-type"}  # FastAPI writes these for its own response


class Line(BaseModel):
    """A line of a basket."""

    sku: str
    quantity: int


class Basket(BaseModel):
    """The body of a preview."""

    items: list[Line]


class OrderId(BaseModel):
    """The body of a confirm."""

    order_id: UUID


def with_fastapi(app_call: AsgiCall) -> AsgiCall:
    """Return an ASGI application in which FastAPI parses an order's three requests and `app_call` answers all."""

    async def forward(request: Request, response: Response) -> Any:
        body, messages = await request.body(), []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await app_call(request.state.app, request.scope, receive, send)  # type: ignore[arg-type]
        return _copy_response(messages, response)

    async def preview(request: Request, response: Response, _basket: Basket) -> Any:
        return await forward(request, response)

    async def confirm(request: Request, response: Response, _order_id: OrderId) -> Any:
        return await forward(request, response)

    endpoints: dict[str, Callable[..., Any]] = {PREVIEW_PATH: preview, CONFIRM_PATH: confirm, WEBHOOK_PATH: forward}
    fastapi = FastAPI()
    for path, endpoint in endpoints.items():
        fastapi.post(path, response_model=None)(endpoint)

    async def call(app: App, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] in endpoints:
            scope["state"] = {"app": app}
            await fastapi(scope, receive, send)
        else:
            await app_call(app, scope, receive, send)

    return call


_call_through_fastapi = with_fastapi(App.__call__)


class FastApiApp(App):
    """The gateway's application behind FastAPI."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one ASGI request."""
        await _call_through_fastapi(self, scope, receive, send)


def _copy_response(messages: list[dict[str, Any]], response: Response) -> Any:
    start, *parts = messages
    response.status_code = start["status"]
    for name, value in start["headers"]:
        if name not in OWN_HEADERS:
            response.headers[name.decode()] = value.decode()
    return json.loads(b"".join(part.get("body", b"") for part in parts))
