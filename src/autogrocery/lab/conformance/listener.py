"""The gateway's internal listener, as far as a peer uses it: takes webhooks, fails as planned, and keeps what came."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from autogrocery.contracts import registry
from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.webhooks import WebhookVerifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ORDER_PATH: Final = "/internal/webhook/update-order"
RESTOCK_PATH: Final = "/internal/webhook/update-restock"
SILENCE_S: Final = 12.0  # no answer for so long: any client that has a deadline has given up
MAX_KEPT: Final = 10_000  # deliveries
MAX_BYTES: Final = 1 << 20
FAIL, SILENT = "fail", "silent"


class Delivery(Struct, frozen=True):
    """One webhook as it came; `problem` says what is wrong with its signature, empty if nothing is."""

    path: str
    webhook_id: str
    body: bytes
    problem: str
    at: float


class _OrderId(Struct):
    order_id: str


class WebhookListener:
    """Takes webhooks. `plans` maps an order to how its first attempts are answered: FAIL is 500, SILENT no answer."""

    def __init__(self, key: bytes) -> None:
        self._verifier = WebhookVerifier([key]) if key else None
        self.plans: dict[str, list[str]] = {}
        self.deliveries: dict[str, list[Delivery]] = {}
        self._kept = 0

    @property
    def verifies(self) -> bool:
        """Whether signatures can be verified."""
        return self._verifier is not None

    def of(self, order_id: str) -> list[Delivery]:
        """Return the deliveries about an order, in the order of their arrival."""
        return self.deliveries.get(order_id, [])

    async def receive(self, request: web.Request) -> web.Response:
        """Keep a webhook, and answer as planned."""
        body = await request.read()
        try:
            order_id = msgspec.json.decode(body, type=_OrderId).order_id.lower()
        except msgspec.MsgspecError:
            order_id = ""
        if self._kept < MAX_KEPT:
            self._kept += 1
            one = Delivery(
                request.path,
                request.headers.get("webhook-id", ""),
                body,
                self._problem(request, body),
                time.monotonic(),
            )
            self.deliveries.setdefault(order_id, []).append(one)
        plan = self.plans.get(order_id, [])
        step = plan.pop(0) if plan else ""
        if step == SILENT:
            await asyncio.sleep(SILENCE_S)
            return web.Response(status=503)
        if step == FAIL:
            return web.Response(status=500)
        return web.json_response({"applied": True, "status": "COMPLETED"})

    def _problem(self, request: web.Request, body: bytes) -> str:
        if self._verifier is None:
            return ""
        try:
            self._verifier.verify(body, request.headers.get)
        except Unauthenticated:
            given = [name for name in ("id", "timestamp", "signature") if f"webhook-{name}" in request.headers]
            return f"its signature is wrong or its timestamp old; it has {', '.join(given) or 'no'} webhook-* headers"
        return ""


async def _disabled(_request: web.Request) -> web.Response:
    return web.json_response({"user_ids": []})


@asynccontextmanager
async def open_listener(host: str, port: int, key: bytes) -> AsyncIterator[WebhookListener]:
    """Serve the listener; raises StartError if the address can't be bound."""
    listener = WebhookListener(key)
    app = web.Application(client_max_size=MAX_BYTES)
    app.router.add_post(ORDER_PATH, listener.receive)
    app.router.add_post(RESTOCK_PATH, listener.receive)
    app.router.add_get(registry.PATH, _disabled)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise StartError(f"--webhook-listen {host}:{port} can't be bound: {error.strerror or error}") from None
        yield listener
    finally:
        await runner.cleanup()
