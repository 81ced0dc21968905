"""Concurrency scenarios, played on a whole running network with two gateways and judged by what was answered."""

from __future__ import annotations

from autogrocery.lab.scenarios.floor import Floor, Result
from autogrocery.lab.scenarios.run import run_scenarios

__all__ = ["Floor", "Result", "run_scenarios"]
