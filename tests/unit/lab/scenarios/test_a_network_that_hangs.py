"""A network that answers nobody is given up after one scenario, not after seven."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from autogrocery.lab.scenarios import run
from autogrocery.lab.scenarios.floor import Result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


def scenario(name: str, takes_s: float) -> Any:
    async def play(_stage: object) -> Result:
        await asyncio.sleep(takes_s)
        return Result(name, "It ends.", ok=True, told="played", violations=[])

    return SimpleNamespace(NAME=name, PROMISE="It ends.", play=play)


async def test_a_scenario_that_does_not_end_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    floor: Any = SimpleNamespace(preview_ttl_s=0.05)

    @asynccontextmanager
    async def open_stage(*_: object) -> AsyncIterator[Any]:
        yield SimpleNamespace(floor=floor)

    monkeypatch.setattr(run, "open_stage", open_stage)
    monkeypatch.setattr(run, "WITHIN_S", 0.1)
    monkeypatch.setattr(
        run, "SCENARIOS", (scenario("one", 0), scenario("two", 60), scenario("three", 0), scenario("four", 0))
    )
    said: list[str] = []
    async with asyncio.timeout(5):
        one, two, three, four = await run.run_scenarios(floor, 1, said.append)
    assert two.violations == ["not done in 0.15 s"]
    assert three.violations == four.violations == ["could not be played: LookupError: two did not end"]
    assert [each.ok for each in (one, two, three, four)] == [True, False, False, False]
    assert [line for line in said if "BROKEN" in line]
