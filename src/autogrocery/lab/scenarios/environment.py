"""The network that a scenario is played on, and a scenario's result."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.lab.fault_proxy import FaultProxy


class Environment(Struct, frozen=True):
    """A running network with two gateways on one database, as seen from outside.

    `database_proxies` stand between each gateway and PostgreSQL, in the order of `public_urls`; without them, the
    scenarios that need them are skipped. `logs` are searched for deadlocks.
    """

    public_urls: tuple[str, ...]
    internal_urls: tuple[str, ...]
    inventory_address: str
    pricing_address: str
    webhook_secret: str
    preview_ttl_s: float
    database_proxies: tuple[FaultProxy, ...] = ()
    logs: tuple[Path, ...] = ()


class ScenarioResult(Struct, frozen=True):
    """One scenario: its promise, whether it was kept, its figures on one line, and every violation as a sentence.

    A `skipped` scenario was not played: it is not `ok`, and has no violations either.
    """

    name: str
    promise: str
    ok: bool
    summary: str
    violations: list[str] = []
    skipped: bool = False


def checked(name: str, promise: str, summary: str, violations: list[str]) -> ScenarioResult:
    """Return the result of a scenario that was played to its end."""
    return ScenarioResult(name, promise, ok=not violations, summary=summary, violations=violations)


def skipped(name: str, promise: str, why: str) -> ScenarioResult:
    """Return the result of a scenario that can't be played in this environment."""
    return ScenarioResult(name, promise, ok=False, summary=f"skipped: {why}", skipped=True)
