"""The gateway's internal listener: signed webhooks (Standard Webhooks 1.0) and the list of disabled accounts."""

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
from autogrocery.kit.security.tls import tls_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from autogrocery.kit.security.tls import Identity

T = TypeVar("T")

DISABLED_POINT = "gateway.list_disabled"
WEBHOOK_PATH = "/internal/webhook/"
MAX_CONCURRENT = 64  # webhooks under way, and connections kept open for them
TIMEOUT_S = 3.0  # short, because a batch of the relay must end within its lease
ACKNOWLEDGED = range(200, 300)


class Gateway:
    """Client of the gateway: sends webhooks signed with `secret`, and reads the disabled accounts.

    With `identity` it uses mutual TLS and accepts only the gateway's certificate.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, secret: bytes, identity: Identity | None = None
    ) -> None:
        self._session = session
        self._identity = identity
        self._base = url.rstrip("/")
        self._signer = Webhook(secret)

    async def list_disabled(self) -> set[int]:
        """Return the user ids of disabled accounts. Raises Unavailable or InDoubt within TIMEOUT_S: call again."""

        async def call() -> tuple[int, bytes]:
            tls = tls_arguments(identities.GATEWAY, self._identity)
            async with self._session.get(self._base + registry.PATH, allow_redirects=False, **tls) as response:
                return response.status, await response.read()

        status, body = await self._request(DISABLED_POINT, call)
        if status != 200:  # noqa: PLR2004 - any other status has no list
            raise Unavailable(f"gateway_returned_{status}", "the gateway did not return the disabled accounts")
        try:
            return set(msgspec.json.decode(body, type=registry.Disabled).user_ids)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InDoubt("gateway", "its list of disabled accounts is malformed") from error

    async def update_order(self, webhook_id: str, body: str) -> None:
        """Send the webhook about a finished order: `body` is an UpdateOrder in JSON.

        Raises Unavailable for a status other than 2xx, InDoubt for no response.
        """
        await self._send_webhook("gateway.update_order", "update-order", webhook_id, body)

    async def update_restock(self, webhook_id: str, body: str) -> None:
        """Send a webhook about a restock order: `body` is an UpdateRestock in JSON. Raises as `update_order`."""
        await self._send_webhook("gateway.update_restock", "update-restock", webhook_id, body)

    async def _send_webhook(self, point: str, path: str, webhook_id: str, body: str) -> None:
        at = clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._signer.sign(webhook_id, at, body),
        }

        async def call() -> int:
            tls = tls_arguments(identities.GATEWAY, self._identity)
            async with self._session.post(
                self._base + WEBHOOK_PATH + path, data=body.encode(), headers=headers, allow_redirects=False, **tls
            ) as response:
                return response.status

        status = await self._request(point, call)
        if status not in ACKNOWLEDGED:
            raise Unavailable(f"gateway_returned_{status}", "the gateway did not acknowledge the webhook")

    async def _request(self, point: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await faults.through(point, call)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise InDoubt("gateway", type(error).__name__) from error


@asynccontextmanager
async def open_gateway(url: str, secret: bytes, identity: Identity | None = None) -> AsyncIterator[Gateway]:
    """Open a client of the gateway's internal listener at `url`. Redirects would leak signatures: none is followed."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=MAX_CONCURRENT)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
        yield Gateway(session, url, secret, identity)
