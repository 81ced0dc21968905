"""The gateways' logs of all metrics: GET /internal/metrics-log."""

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
from autogrocery.kit.security.tls import tls_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from autogrocery.kit.security.tls import Identity

T = TypeVar("T")
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 16 << 20  # 5,000 metrics are some 2 MB


class EpochSummary(Struct, frozen=True):
    """An epoch of the log and the highest sequence number in it."""

    epoch: int
    last_sequence: int


class Epochs(Struct, frozen=True):
    """The response to a request without an epoch."""

    epochs: list[EpochSummary]


class Page(Struct, frozen=True):
    """Metrics of one epoch by number, numbers without a metric, and after which number to go on (None: no more)."""

    metrics: list[OrderMetric]
    void: list[int] = []
    next_after: int | None = None


class MetricsLog:
    """A connection pool to the gateway's internal listener; with `identity`, over mutual TLS.

    Every call raises Unavailable if there is no usable response.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, identity: Identity | None = None) -> None:
        self.address = url
        self._session = session
        self._identity = identity
        self._url = f"{url.rstrip('/')}/internal/metrics-log"

    async def epochs(self, since_s: int | None = None) -> list[EpochSummary]:
        """Return the epochs that were alive after `since_s` (Unix seconds); None: within the last seven days."""
        query = {} if since_s is None else {"since": str(since_s)}
        return (await self._get("log.epochs", query, Epochs)).epochs

    async def page(self, epoch: int, after: int) -> Page:
        """Return up to 5,000 metrics of an epoch, those with a number greater than `after`."""
        return await self._get("log.page", {"epoch": str(epoch), "after": str(after)}, Page)

    async def _get(self, point: str, query: dict[str, str], shape: type[T]) -> T:
        async def call() -> bytes:
            tls = tls_arguments(identities.GATEWAY, self._identity)
            async with self._session.get(self._url, params=query, **tls) as response:
                response.raise_for_status()
                body = bytearray()
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > MAX_BYTES:
                        raise Unavailable("log_unavailable", f"{self.address}: more than {MAX_BYTES:,} bytes")
                return bytes(body)

        try:
            async with asyncio.timeout(TIMEOUT_S):
                body = await faults.through(point, call)
            return msgspec.json.decode(body, type=shape, strict=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("log_unavailable", f"{self.address} did not respond ({type(error).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable("log_unavailable", f"{self.address}: unreadable ({error})") from None


@asynccontextmanager
async def open_metrics_logs(urls: Sequence[str], identity: Identity | None = None) -> AsyncIterator[list[MetricsLog]]:
    """Open a connection pool to the internal listeners of gateways; one log for each address, in their order."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        yield [MetricsLog(session, url, identity) for url in urls]
