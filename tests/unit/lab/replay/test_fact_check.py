from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter

import pytest

from autogrocery.lab.replay.fact_check import FactCheck, wait_until_exact
from autogrocery.lab.replay.kills import Kills, kill_during

EXACT = FactCheck(history=3, counted=3, facts=3, same_changes=True)


@pytest.mark.parametrize(
    ("found", "exact"),
    [
        (EXACT, True),
        (FactCheck(3, 3, 3, same_changes=False), False),
        (FactCheck(3, 4, 3, same_changes=True), False),
        (FactCheck(4, 3, 3, same_changes=False), False),
        (FactCheck(3, 3, None, same_changes=False), False),
    ],
)
def test_only_the_same_changes_stored_and_counted_once_are_exact(found: FactCheck, exact: object) -> None:
    assert found.exact is exact


async def test_comparison_is_repeated_until_it_is_exact_or_the_time_is_over() -> None:
    answers = [None, FactCheck(3, 2, 2, same_changes=False), EXACT]

    async def check() -> FactCheck | None:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    assert await wait_until_exact(check, 10.0) == EXACT
    answers[:] = [FactCheck(3, 2, 2, same_changes=False)]
    assert await wait_until_exact(check, 0.0) == answers[0]
    assert await wait_until_exact(None, 10.0) is None


async def test_process_is_killed_as_often_as_asked_and_awaited_each_time() -> None:
    restarts: Counter[str] = Counter()

    def launch() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    running = launch()

    async def supervise() -> None:
        nonlocal running
        while True:
            if running.poll() is not None:
                running = launch()
                restarts["sleeper"] += 1
            await asyncio.sleep(0.01)

    supervisor = asyncio.create_task(supervise())
    try:
        kills = Kills({"sleeper": 3}, lambda _name: running.pid, restarts.__getitem__)
        assert await kill_during(kills, 0.3, 1) == {"sleeper": 3}
        assert restarts["sleeper"] == 3
    finally:
        supervisor.cancel()
        running.kill()
        running.wait()
