"""The backfill: the history of the metrics log, once, from any day on, resumed after any interruption."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.analytics.actions.backfill import BackfillProgress, backfill
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.core.marks import Mark
from autogrocery.analytics.peers.metrics_log import open_metrics_logs
from autogrocery.analytics.store.backlog import Backlog
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode, SimulatedDeath
from tests.harness.fact_stores import Totals, change, fact_store, totals

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.analytics_gateway import FakeMetricsLog

SINCE_S = 1_700_000_000


async def run(home: Path, metrics_log: FakeMetricsLog) -> BackfillProgress:
    reports: list[BackfillProgress] = []
    async with fact_store(home) as store, open_metrics_logs([metrics_log.url]) as logs:
        return await backfill(logs, Backlog(store, None), Counters(), SINCE_S, reports.append)


async def test_history_is_stored_once_and_asked_for_from_the_day_given(home: Path, metrics_log: FakeMetricsLog) -> None:
    metrics_log.write(*(change(number, epoch=epoch) for epoch in (1, 2) for number in range(1, 801)))
    metrics_log.void[2] = [801]
    metrics_log.write(change(802, epoch=2))
    metrics_log.last[2] = 803  # reserved, and not final yet
    async with metrics_log.served():
        done = await run(home, metrics_log)
        assert (done.stored, done.missing) == (1_601, 1)
        assert metrics_log.queries[0] == {"since": str(SINCE_S)}
        again = await run(home, metrics_log)
        assert (again.stored, again.missing) == (0, 1)
    async with fact_store(home) as store:
        assert await totals(store.engine) == Totals(1_601, 1_601, 160_100, 160_100)
        assert list(store.marks) == [Mark(1, 1, 800), Mark(2, 1, 802)]
        assert await store.progress("complete_since") == -SINCE_S


@pytest.mark.parametrize(("point", "nth"), [("log.page", 5), ("facts.add", 1), ("facts.add_marks", 1)])
async def test_backfill_that_died_goes_on_where_it_was(
    home: Path, metrics_log: FakeMetricsLog, point: str, nth: int
) -> None:
    metrics_log.write(*(change(number) for number in range(1, 1_001)))
    async with metrics_log.served():
        with faults.arm(Fault(point, Mode.KILL_AFTER, nth), simulated=True), pytest.raises(SimulatedDeath):
            await run(home, metrics_log)
        done = await run(home, metrics_log)
    assert done.stored <= 1_000
    async with fact_store(home) as store:
        assert await totals(store.engine) == Totals(1_000, 1_000, 100_000, 100_000)
        assert list(store.marks) == [Mark(1, 1, 1_000)]


async def test_backfill_outlasts_a_log_that_is_away_for_a_moment(home: Path, metrics_log: FakeMetricsLog) -> None:
    metrics_log.write(*(change(number) for number in range(1, 301)))
    running = asyncio.create_task(run(home, metrics_log))
    await asyncio.sleep(0.5)
    async with metrics_log.served():
        done = await running
    assert (done.stored, done.missing) == (300, 0)
