"""The analytics role killed at any point: every status change is stored once, whatever it missed meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.marks import Mark
from tests.harness.analytics_process import AnalyticsProcess
from tests.harness.fact_stores import Totals, change, fact_store, totals

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.contracts.analytics.metric import OrderMetric
    from tests.harness.analytics_gateway import FakeMetricsLog
    from tests.harness.publishers import Publisher

DEATHS: Final = (
    "facts.add:kill-after:1",
    "facts.add_minutes:kill-before:1",
    "log.page:kill-after:1",
)
MANY: Final = 10_000
WRITE_MANY: Final = """
import asyncio, sys
from pathlib import Path
from tests.harness.fact_stores import batch, fact, fact_store

async def main():
    async with fact_store(Path(sys.argv[1])) as store:
        print("ready", flush=True)
        for start in range(1, int(sys.argv[2]), 5_000):
            await store.write(batch(fact(number) for number in range(start, start + 5_000)), start)
            await store.compute_minutes()

asyncio.run(main())
"""


def some(first: int, last: int, epoch: int = 1) -> list[OrderMetric]:
    return [change(number, epoch=epoch) for number in range(first, last + 1)]


async def test_role_killed_at_every_point_stores_each_change_once(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    role = AnalyticsProcess(home, metrics_log, publisher.address)
    last = 0
    async with metrics_log.served():
        for death in DEATHS:
            await role.start(death)
            await publisher.subscribed()
            changes = some(last + 1, last + 50)
            metrics_log.write(*changes)
            await publisher.send(*changes[:20], *changes[35:])  # the others are lost on the way
            assert await role.died() == -signal.SIGKILL, death
            await publisher.unsubscribed()
            last += 50
        metrics_log.write(*some(1, 30, epoch=2))  # of a publisher that came and went meanwhile
        await role.start()
        figures = await role.shows(lambda figures: figures["unique"] == last + 30)
        assert (figures["gaps_open"], figures["by_status"]) == (0, {"COMPLETED": last + 30})
        assert await role.end() == 0
    async with fact_store(home / "analytics") as store:
        assert await totals(store.engine) == Totals(last + 30, last + 30, (last + 30) * 100, (last + 30) * 100)
        assert list(store.marks) == [Mark(1, 1, last), Mark(2, 1, 30)]


async def test_writer_killed_in_the_middle_of_inserts_loses_and_repeats_nothing(home: Path) -> None:
    generator = random.Random(17)
    for _ in range(2):
        command = [sys.executable, "-c", WRITE_MANY, str(home), str(MANY)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as writer:  # noqa: ASYNC220
            assert writer.stdout is not None
            await asyncio.to_thread(writer.stdout.readline)
            await asyncio.sleep(generator.uniform(0.02, 0.4))
            writer.kill()
        async with fact_store(home) as store:
            await store.compute_minutes()
            found = await totals(store.engine)
            claimed = sum(mark.last - mark.first + 1 for mark in store.marks)
            assert claimed <= found.facts == found.changes
            assert found.fact_cents == found.minute_cents == found.facts * 100
    subprocess.run([sys.executable, "-c", WRITE_MANY, str(home), str(MANY)], check=True)  # noqa: ASYNC221
    async with fact_store(home) as store:
        assert await totals(store.engine) == Totals(MANY, MANY, MANY * 100, MANY * 100)
        assert list(store.marks) == [Mark(1, 1, MANY)]


async def test_second_process_is_refused_with_one_line(home: Path) -> None:
    (home / "analytics").mkdir()
    async with fact_store(home / "analytics"):
        command = [sys.executable, "-m", "autogrocery", "analytics"]
        environ = {**os.environ, "AUTOGROCERY_HOME": str(home)}
        ended = await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, check=False, timeout=20
        )
    assert ended.returncode == 2
    place = f"{home}/analytics is in use by process {os.getpid()}"
    assert ended.stderr == f"autogrocery analytics: {place}: stop that one, or set AUTOGROCERY_HOME\n"
