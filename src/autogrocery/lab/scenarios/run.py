"""Play all scenarios, one after the other."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from autogrocery.client import Problem, Unanswered
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.run import StartError
from autogrocery.lab.scenarios import (
    cancel_race,
    concurrent_confirms,
    expiry_race,
    lost_commits,
    oversell,
    start_race,
    webhooks,
)
from autogrocery.lab.scenarios.context import ScenarioContext, open_context, scaled
from autogrocery.lab.scenarios.environment import Environment, ScenarioResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

SCENARIOS: Final[tuple[ModuleType, ...]] = (
    oversell,
    cancel_race,
    start_race,
    expiry_race,
    concurrent_confirms,
    webhooks,
    lost_commits,
)
SCENARIO_TIMEOUT_S: Final = 150.0  # for each scenario, in addition to the life of a quote
PLAY_ERRORS: Final = (Problem, Unanswered, InDoubt, StartError, LookupError, aiohttp.ClientError, TimeoutError, OSError)
MAX_DEVICES: Final = max(oversell.BUYERS, cancel_race.ORDERS, start_race.ORDERS, expiry_race.ORDERS)


async def run_scenarios(
    environment: Environment, seed: int, show: Callable[[str], None], scale: float = 1.0
) -> list[ScenarioResult]:
    """Play every scenario in `environment`, with smaller rounds for `scale` < 1; `show` gets a line for each.

    The seed fixes the random delays, not the answers: two runs race differently. Never raises for what the network
    does: a scenario that could not be played to its end is not ok.
    """
    devices = scaled(MAX_DEVICES, scale)
    results: list[ScenarioResult] = []
    began_at = time.monotonic()
    try:
        async with open_context(environment, devices, random.Random(seed), scale) as context:
            took_s = time.monotonic() - began_at
            show(f"{len(SCENARIOS)} scenarios: {devices} devices registered and logged in, {took_s:.1f} s")
            results = await play_all(SCENARIOS, context, show)
    except PLAY_ERRORS as error:
        results += [_not_played(scenario, error) for scenario in SCENARIOS[len(results) :]]
    return results


async def play_all(
    scenarios: Sequence[ModuleType],
    context: ScenarioContext,
    show: Callable[[str], None],
    timeout_s: float = SCENARIO_TIMEOUT_S,
) -> list[ScenarioResult]:
    """Play the scenarios in order; after one that took `timeout_s` no other is played: it would hang as well."""
    results: list[ScenarioResult] = []
    for number, scenario in enumerate(scenarios, 1):
        started_at = time.monotonic()
        result = await play(scenario, context, timeout_s)
        results.append(result)
        outcome = "ok" if result.ok else "skipped" if result.skipped else "BROKEN"
        took_s = time.monotonic() - started_at
        show(f"{number}/{len(scenarios)} {result.name}: {outcome}, {took_s:.1f} s: {result.summary}")
        if took_s >= timeout_s:
            error = LookupError(f"{result.name} did not end")
            return results + [_not_played(left, error) for left in scenarios[number:]]
    return results


async def play(scenario: ModuleType, context: ScenarioContext, timeout_s: float = SCENARIO_TIMEOUT_S) -> ScenarioResult:
    """Play one scenario; return its result, or one that says why it could not be played to its end."""
    within_s = timeout_s + context.environment.preview_ttl_s
    try:
        async with asyncio.timeout(within_s):
            result: ScenarioResult = await scenario.play(context)
    except TimeoutError:
        return ScenarioResult(
            scenario.NAME,
            scenario.PROMISE,
            ok=False,
            summary="not finished",
            violations=[f"not done in {within_s:g} s"],
        )
    except PLAY_ERRORS as error:
        return _not_played(scenario, error)
    return result


def _not_played(scenario: ModuleType, error: BaseException) -> ScenarioResult:
    why = f"could not be played: {type(error).__name__}: {error}"
    return ScenarioResult(scenario.NAME, scenario.PROMISE, ok=False, summary=why, violations=[why])
