"""A network that does not answer is given up after the first scenario that times out."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from autogrocery.lab.scenarios.environment import ScenarioResult
from autogrocery.lab.scenarios.run import play_all


def scenario(name: str, *, hangs: bool = False) -> Any:
    async def play(_context: object) -> ScenarioResult:
        if hangs:
            await asyncio.Event().wait()
        return ScenarioResult(name, "It ends.", ok=True, summary="played", violations=[])

    return SimpleNamespace(NAME=name, PROMISE="It ends.", play=play)


async def test_no_scenario_is_played_after_one_that_times_out() -> None:
    context: Any = SimpleNamespace(environment=SimpleNamespace(preview_ttl_s=0.05))
    scenarios = (scenario("one"), scenario("two", hangs=True), scenario("three"), scenario("four"))
    lines: list[str] = []
    async with asyncio.timeout(5):
        one, two, three, four = await play_all(scenarios, context, lines.append, timeout_s=0.1)
    assert two.violations == ["not done in 0.15 s"]
    assert three.violations == four.violations == ["could not be played: LookupError: two did not end"]
    assert [each.ok for each in (one, two, three, four)] == [True, False, False, False]
    assert [line for line in lines if "BROKEN" in line]
