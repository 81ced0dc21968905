"""The listener for operators: probe, figures, Prometheus. It has no token: only the operator's network may reach it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Gauge

from autogrocery.analytics.actions.view_census import view_census
from autogrocery.analytics.actions.view_figures import figures_of
from autogrocery.analytics.actions.view_report import ReportQuery, view_report
from autogrocery.analytics.core.report import Report
from autogrocery.contracts.analytics.census import FactCensus
from autogrocery.kit.http.probes import exposition, healthz
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.store.backlog import Backlog

MICROSECONDS: Final = 1_000_000


class LagGauges:
    """How far analytics is behind, as Prometheus reads it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        self._age = gauge("analytics_newest_fact_age_seconds", "Age of the newest stored status change; -1: none")
        self._gaps = gauge("analytics_gaps_open", "Sequence numbers missing for longer than a second")
        self._behind = gauge("analytics_rows_behind", "Facts received and not stored yet, in memory and on disk")
        self._changes = gauge("analytics_status_changes", "Status changes known, each once", ["status"])
        self._poisoned = gauge("analytics_frames_poisoned", "Frames set aside since the start")
        self._stored = gauge("analytics_store_available", "1: the store takes facts; 0: it does not; -1: there is none")

    def set(self, figures: dict[str, Any], now_s: float) -> None:
        """Set every gauge from the figures."""
        store = figures["store"]
        newest_us = store["newest_fact_us"] if store else 0
        self._age.set(now_s - newest_us / MICROSECONDS if newest_us else -1)
        self._gaps.set(figures["gaps_open"])
        self._behind.set(store["rows_behind"] if store else 0)
        self._poisoned.set(figures["invalid"])
        self._stored.set(int(store["available"]) if store else -1)
        for status, count in figures["by_status"].items():
            self._changes.labels(status).set(count)


def table(counters: Counters, backlog: Backlog | None) -> list[Route]:
    """Return the routes."""
    gauges = LagGauges()
    get = partial(Route, "GET", auth=False)
    return [
        get("/healthz", healthz, answer=dict[str, str], summary="The process answers"),
        get(
            "/status",
            partial(_status, counters=counters, backlog=backlog),
            answer=dict[str, Any],
            summary="All figures, and how far the store is behind",
        ),
        get(
            "/report",
            partial(_report, counters=counters, backlog=backlog),
            query=ReportQuery,
            answer=Report,
            summary="Figures of a day or a week",
            errors=("503 store_unavailable",),
        ),
        get(
            "/census",
            partial(_census, counters=counters, backlog=backlog),
            answer=FactCensus,
            summary="Which status changes are stored, to be compared with a gateway's history; reads every fact",
            errors=("503 store_unavailable",),
        ),
        get(
            "/metrics",
            partial(_metrics, counters=counters, backlog=backlog, gauges=gauges),
            media="text/plain",
            summary="Prometheus",
        ),
    ]


async def _status(_request: Request, *, counters: Counters, backlog: Backlog | None) -> dict[str, Any]:
    return figures_of(counters, backlog)


async def _report(request: Request, *, counters: Counters, backlog: Backlog | None) -> Report:
    return await view_report(backlog, counters, request.query)


async def _census(_request: Request, *, counters: Counters, backlog: Backlog | None) -> FactCensus:
    return await view_census(backlog, counters)


async def _metrics(_request: Request, *, counters: Counters, backlog: Backlog | None, gauges: LagGauges) -> Answer:
    gauges.set(figures_of(counters, backlog), time.time())
    return exposition(gauges.registry)
