"""FastAPI before the product's HTTP layer: what a gateway written on it would pay for routes, bodies and answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 - pydantic reads annotations

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from autogrocery.kit.http.app import App
from bench.shoppers import CONFIRM_PATH, PREVIEW_PATH, WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Ours = Callable[[App, dict[str, Any], Any, Any], Awaitable[None]]

OWN_HEADERS: Final = {b"content-length", b"content-type"}  # of the answer that FastAPI writes anew


class Line(BaseModel):
    """A line of a basket."""

    sku: str
    quantity: int


class Basket(BaseModel):
    """What a preview asks for."""

    items: list[Line]


class Which(BaseModel):
    """Which order is meant."""

    order_id: UUID


def framed(ours: Ours) -> Ours:
    """Return an ASGI application in which FastAPI reads an order's three requests and `ours` answers them all."""

    async def answered(request: Request, response: Response) -> Any:
        raw, said = await request.body(), []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await ours(request.state.ours, request.scope, receive, send)  # type: ignore[arg-type]
        return _told(said, response)

    async def preview(request: Request, response: Response, _basket: Basket) -> Any:
        return await answered(request, response)

    async def confirm(request: Request, response: Response, _which: Which) -> Any:
        return await answered(request, response)

    endpoints: dict[str, Callable[..., Any]] = {PREVIEW_PATH: preview, CONFIRM_PATH: confirm, WEBHOOK_PATH: answered}
    front = FastAPI()
    for path, endpoint in endpoints.items():
        front.post(path, response_model=None)(endpoint)

    async def through(app: App, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] in endpoints:
            scope["state"] = {"ours": app}
            await front(scope, receive, send)
        else:
            await ours(app, scope, receive, send)

    return through


_framed = framed(App.__call__)


class FramedApp(App):
    """Our application behind FastAPI."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one ASGI connection."""
        await _framed(self, scope, receive, send)


def _told(said: list[dict[str, Any]], response: Response) -> Any:
    start, *parts = said
    response.status_code = start["status"]
    for name, value in start["headers"]:
        if name not in OWN_HEADERS:
            response.headers[name.decode()] = value.decode()
    return json.loads(b"".join(part.get("body", b"") for part in parts))
