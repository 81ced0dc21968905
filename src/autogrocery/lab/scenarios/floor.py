"""What a scenario is played on, and what comes of it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.lab.fault_proxy import FaultProxy

LEFT_OUT: Final = "left out"


class Floor(Struct, frozen=True):
    """A running network with two gateways on one database, as seen from outside.

    `database_proxies` stand between each gateway and PostgreSQL, in the order of `public_urls`; where there are none, the
    scenarios that need them are left out. `logs` are read for deadlocks.
    """

    public_urls: tuple[str, ...]
    internal_urls: tuple[str, ...]
    inventory_address: str
    pricing_address: str
    webhook_secret: str
    preview_ttl_s: float
    database_proxies: tuple[FaultProxy, ...] = ()
    logs: tuple[Path, ...] = ()


class Result(Struct, frozen=True):
    """How one scenario ended: its promise, whether it was kept, figures in one line, and every violation in words.

    `left_out` scenarios were not played: they are not `ok`, and have no violations either.
    """

    name: str
    promise: str
    ok: bool
    told: str
    violations: list[str] = []
    left_out: bool = False


def judged(name: str, promise: str, told: str, violations: list[str]) -> Result:
    """Return the result of a scenario that was played to its end."""
    return Result(name, promise, ok=not violations, told=told, violations=violations)


def left_out(name: str, promise: str, why: str) -> Result:
    """Return the result of a scenario that could not be played here."""
    return Result(name, promise, ok=False, told=f"{LEFT_OUT}: {why}", left_out=True)
