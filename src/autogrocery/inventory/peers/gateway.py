"""The gateway, as inventory knows it: a place to send signed webhooks (Standard Webhooks 1.0), and its list of the disabled."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import msgspec
from standardwebhooks import Webhook

from autogrocery.contracts import identities, registry
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.process import clock, faults
from autogrocery.kit.security.tls import toward

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from autogrocery.kit.security.tls import Identity

T = TypeVar("T")

DISABLED_POINT = "gateway.list_disabled"
WEBHOOKS = "/internal/webhook/"
AT_ONCE = 64  # deliveries, and connections kept open for them
TIMEOUT_S = 3.0  # a batch of the relay must end within its lease
ACKNOWLEDGED = range(200, 300)


class Gateway:
    """Sends webhooks, which the first secret signs, and asks who is disabled.

    With `identity` over mutual TLS, to the gateway and to nobody else.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, secret: bytes, identity: Identity | None = None
    ) -> None:
        self._session = session
        self._identity = identity
        self._base = url.rstrip("/")
        self._signer = Webhook(secret)

    async def list_disabled(self) -> set[int]:
        """Return the user ids that are shut out, within TIMEOUT_S; raises Unavailable or InDoubt: ask again."""

        async def call() -> tuple[int, bytes]:
            tls = toward(identities.GATEWAY, self._identity)
            async with self._session.get(self._base + registry.PATH, allow_redirects=False, **tls) as answer:
                return answer.status, await answer.read()

        status, body = await self._told(DISABLED_POINT, call)
        if status != 200:  # noqa: PLR2004 - anything else is no list
            raise Unavailable(f"gateway_said_{status}", "the gateway did not tell who is disabled")
        try:
            return set(msgspec.json.decode(body, type=registry.Disabled).user_ids)
        except msgspec.DecodeError as error:
            raise InDoubt("gateway", "its list of the disabled is none") from error

    async def update_order(self, webhook_id: str, body: str) -> None:
        """Tell the last word on an order: an UpdateOrder in JSON. Raises Unavailable for anything but a 2xx, InDoubt for no answer."""
        await self._tell("gateway.update_order", "update-order", webhook_id, body)

    async def update_restock(self, webhook_id: str, body: str) -> None:
        """Tell how far a delivery has come: an UpdateRestock in JSON. Raises as `update_order`."""
        await self._tell("gateway.update_restock", "update-restock", webhook_id, body)

    async def _tell(self, point: str, path: str, webhook_id: str, body: str) -> None:
        at = clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._signer.sign(webhook_id, at, body),
        }

        async def call() -> int:
            tls = toward(identities.GATEWAY, self._identity)
            async with self._session.post(
                self._base + WEBHOOKS + path, data=body.encode(), headers=headers, allow_redirects=False, **tls
            ) as answer:
                return answer.status

        status = await self._told(point, call)
        if status not in ACKNOWLEDGED:
            raise Unavailable(f"gateway_said_{status}", "the gateway did not acknowledge the webhook")

    async def _told(self, point: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await faults.through(point, call)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise InDoubt("gateway", type(error).__name__) from error


@asynccontextmanager
async def open_gateway(url: str, secret: bytes, identity: Identity | None = None) -> AsyncIterator[Gateway]:
    """Open a client of the gateway's internal listener at `url`; redirects are not followed with a signature."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
        yield Gateway(session, url, secret, identity)
