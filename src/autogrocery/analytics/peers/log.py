"""The gateway's metrics as they stand in its history: GET /internal/metrics-log."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.contracts.analytics.metric import OrderMetric  # noqa: TC001 - msgspec reads it from Page
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process import faults
from autogrocery.kit.security.tls import toward

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.security.tls import Identity

T = TypeVar("T")
TIMEOUT_S: Final = 5.0


class Known(Struct, frozen=True):
    """An epoch the log knows and the highest number in it."""

    epoch: int
    last_sequence: int


class Epochs(Struct, frozen=True):
    """The answer without a query."""

    epochs: list[Known]


class Page(Struct, frozen=True):
    """Metrics of one epoch by number, the numbers that will never have one, and where to go on (None: that was all)."""

    metrics: list[OrderMetric]
    void: list[int] = []
    next_after: int | None = None


class Log:
    """One connection pool to the gateway's internal listener; with `identity` over mutual TLS.

    Every call raises Unavailable when there is no answer.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, identity: Identity | None = None) -> None:
        self._session = session
        self._identity = identity
        self._url = f"{url.rstrip('/')}/internal/metrics-log"

    async def epochs(self) -> list[Known]:
        """Return the epochs there are."""
        return (await self._get("log.epochs", {}, Epochs)).epochs

    async def page(self, epoch: int, after: int) -> Page:
        """Return what the log has of an epoch behind a number, up to 5,000 of it."""
        return await self._get("log.page", {"epoch": str(epoch), "after": str(after)}, Page)

    async def _get(self, point: str, query: dict[str, str], shape: type[T]) -> T:
        async def call() -> bytes:
            tls = toward(identities.GATEWAY, self._identity)
            async with self._session.get(self._url, params=query, **tls) as answer:
                answer.raise_for_status()
                return await answer.read()

        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await faults.through(point, call)
            return msgspec.json.decode(answer, type=shape, strict=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("log_unavailable", f"the metrics log gave no answer ({type(error).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable("log_unavailable", f"the metrics log's answer can't be read ({error})") from None


@asynccontextmanager
async def open_log(url: str, identity: Identity | None = None) -> AsyncIterator[Log]:
    """Open a pool of connections to the gateway's internal listener."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        yield Log(session, url, identity)
