"""Concurrency scenarios, played on a running network with two gateways and checked by the answers that came back."""

from __future__ import annotations

from autogrocery.lab.scenarios.environment import Environment, ScenarioResult
from autogrocery.lab.scenarios.run import run_scenarios

__all__ = ["Environment", "ScenarioResult", "run_scenarios"]
