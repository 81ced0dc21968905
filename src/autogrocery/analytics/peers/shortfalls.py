"""The gateway's POST /internal/shortfalls: what ended orders and deliveries lack."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID  # noqa: TC003 - msgspec reads it from the Struct

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.analytics.core.details import DeliveredAisle, Details, ShortLine
from autogrocery.contracts import identities
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process import faults
from autogrocery.kit.security.tls import tls_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from autogrocery.kit.security.tls import Identity

TIMEOUT_S: Final = 5.0
NOT_FOUND: Final = 404


class _Query(Struct, frozen=True):
    order_ids: Sequence[UUID]


class _Reply(Struct, frozen=True):
    short_lines: list[ShortLine]
    delivered: list[DeliveredAisle]


class Shortfalls:
    """The route of one gateway; with `identity`, over mutual TLS."""

    name: Final = "shortfalls"

    def __init__(self, session: aiohttp.ClientSession, url: str, identity: Identity | None = None) -> None:
        self._session = session
        self._identity = identity
        self._url = f"{url.rstrip('/')}/internal/shortfalls"

    async def ask(self, order_ids: Sequence[UUID]) -> Details | None:
        """Return the details of up to 200 orders; None from a gateway without the route. Raises Unavailable."""
        body = msgspec.json.encode(_Query(order_ids))

        async def call() -> bytes | None:
            tls = tls_arguments(identities.GATEWAY, self._identity)
            headers = {"Content-Type": "application/json"}
            async with self._session.post(self._url, data=body, headers=headers, **tls) as response:
                if response.status == NOT_FOUND:
                    return None
                response.raise_for_status()
                return await response.read()

        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await faults.through("shortfalls.ask", call)
            if answer is None:
                return None
            reply = msgspec.json.decode(answer, type=_Reply)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("gateway_unavailable", f"the gateway did not respond ({type(error).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable("gateway_unavailable", f"the gateway's response can't be read ({error})") from None
        return Details(reply.short_lines, reply.delivered)


@asynccontextmanager
async def open_shortfalls(url: str, identity: Identity | None = None) -> AsyncIterator[Shortfalls]:
    """Open a connection pool to the gateway's internal listener."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        yield Shortfalls(session, url, identity)
