"""All scenarios, one after the other."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from autogrocery.client import Problem, Unanswered
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.run import StartError
from autogrocery.lab.scenarios import buyers, cancel_race, expiry_race, lost_commits, start_race, storm, webhooks
from autogrocery.lab.scenarios.floor import Floor, Result
from autogrocery.lab.scenarios.stage import Stage, open_stage, scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SCENARIOS: Final[tuple[ModuleType, ...]] = (
    buyers,
    cancel_race,
    start_race,
    expiry_race,
    storm,
    webhooks,
    lost_commits,
)
WITHIN_S: Final = 150.0  # each scenario, beside the life of a quote
LOST: Final = (Problem, Unanswered, InDoubt, StartError, LookupError, aiohttp.ClientError, TimeoutError, OSError)
MOST_DEVICES: Final = max(buyers.BUYERS, cancel_race.ORDERS, start_race.ORDERS, expiry_race.ORDERS)


async def run_scenarios(floor: Floor, seed: int, show: Callable[[str], None], scale: float = 1.0) -> list[Result]:
    """Play every scenario on `floor`, smaller rounds for `scale` < 1; `show` is told how it goes, line by line.

    The seed fixes the moments that are left to chance, not the answers: two runs race differently. Never raises for what
    the network does; a scenario that could not be played to its end is not ok, and one that took all its time is the last.
    """
    devices = scaled(MOST_DEVICES, scale)
    results: list[Result] = []
    began_at = time.monotonic()
    try:
        async with open_stage(floor, devices, random.Random(seed), scale) as stage:
            took_s = time.monotonic() - began_at
            show(f"{len(SCENARIOS)} scenarios: {devices} devices registered and logged in, {took_s:.1f} s")
            for number, scenario in enumerate(SCENARIOS, 1):
                started_at = time.monotonic()
                result = await play(scenario, stage)
                results.append(result)
                word = "ok" if result.ok else "left out" if result.left_out else "BROKEN"
                took_s = time.monotonic() - started_at
                show(f"{number}/{len(SCENARIOS)} {result.name}: {word}, {took_s:.1f} s: {result.told}")
                if took_s >= WITHIN_S:  # who hangs so long will hang again
                    raise LookupError(f"{result.name} did not end")
    except LOST as trouble:
        results += [_unplayed(scenario, trouble) for scenario in SCENARIOS[len(results) :]]
    return results


async def play(scenario: ModuleType, stage: Stage) -> Result:
    """Play one scenario to its end, or say why it has none."""
    within_s = WITHIN_S + stage.floor.preview_ttl_s
    try:
        async with asyncio.timeout(within_s):
            result: Result = await scenario.play(stage)
    except TimeoutError:
        return Result(
            scenario.NAME, scenario.PROMISE, ok=False, told="not finished", violations=[f"not done in {within_s:g} s"]
        )
    except LOST as trouble:
        return _unplayed(scenario, trouble)
    return result


def _unplayed(scenario: ModuleType, trouble: BaseException) -> Result:
    why = f"could not be played: {type(trouble).__name__}: {trouble}"
    return Result(scenario.NAME, scenario.PROMISE, ok=False, told=why, violations=[why])
