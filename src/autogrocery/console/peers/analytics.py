"""The report of analytics: GET /report of its listener."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT_S: Final = 4.0
OK: Final = 200


class Step(Struct, frozen=True):
    """What ended or began in one step, which began at `started_at` (Unix seconds)."""

    started_at: int
    orders: int = 0
    revenue_cents: int = 0
    items: int = 0
    previews: int = 0
    p90_ms: float = 0.0


class Outcome(Struct, frozen=True):
    """How many orders came to rest in one status, and for how much they had been quoted."""

    status: str
    was_dispatched: bool
    orders: int
    quoted_cents: int


class StageFigures(Struct, frozen=True):
    """How long one stage took."""

    name: str
    orders: int
    p50_ms: float
    p90_ms: float
    p99_ms: float


class Report(Struct, frozen=True):
    """The figures of a period; `before` has the same steps one week earlier."""

    steps: list[Step]
    before: list[Step]
    outcomes: list[Outcome]
    stages: list[StageFigures]
    newest_fact_at: int
    gaps_open: int = 0


class AnalyticsReports:
    """Analytics at `url`, empty for none."""

    def __init__(self, http: aiohttp.ClientSession, url: str, tls: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._http = http
        self._url = url
        self._tls = tls

    async def report(self, since_s: int, until_s: int, step_s: int) -> Report:
        """Return the report of a period; raises Unavailable with the reason."""
        if not self._url:
            raise Unavailable("no_analytics", "ANALYTICS_HTTP_ADDR is not set for the console")
        query = {"since": str(since_s), "until": str(until_s), "step": str(step_s)}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._http.get(f"{self._url}/report", params=query, timeout=timeout, **self._tls()) as response:
                body = await response.read()
                if response.status == OK:
                    return msgspec.json.decode(body, type=Report)
        except (TimeoutError, aiohttp.ClientError, OSError):
            raise Unavailable("no_analytics", "analytics does not answer") from None
        raise Unavailable("no_analytics", f"analytics answers {response.status}: its store may be away")
