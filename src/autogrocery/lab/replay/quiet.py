"""Waiting until the network has come to rest, and what its own audit and its analytics say then."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.kit.security.tls import toward

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.replay.replay import Witness

LOOK_EVERY_S: Final = 0.5
ATTEMPT_S: Final = 30.0
OK: Final = 200


class Invariant(Struct, frozen=True):
    """One promise of the database, and how many rows break it."""

    name: str
    violations: int
    examples: list[Any] = []


class Audit(Struct, frozen=True):
    """The gateway's audit of everything that is written down."""

    clean: bool
    invariants: list[Invariant]


class Metrics(Struct, frozen=True):
    """What the analytics engine received; an open gap is a status change it has not seen.

    `unique` counts status changes, however they reached it; without it, every frame is taken for one.
    """

    received: int = 0
    unique: int | None = None
    gaps_open: int = 0
    gaps_recovered: int = 0
    duplicates: int = 0
    invalid: int = 0
    by_status: dict[str, int] = {}
    duration_ms: dict[str, float | None] = {}

    @property
    def changes(self) -> int:
        """How many status changes the engine knows of."""
        return self.received if self.unique is None else self.unique


class Rest(Struct, frozen=True):
    """How the network stood at the last look; None where it could not be asked or nobody was named to ask."""

    audit: Audit | None = None
    metrics: Metrics | None = None


async def wait_quiet(
    ask: Callable[[], Awaitable[Audit | None]] | None,
    metrics_path: Path | None,
    metrics_expected: int,
    within_s: float = 30.0,
) -> Rest:
    """Look until the audit is clean and every expected metric was received without a gap; else tell the last look."""
    ends_at = time.monotonic() + within_s
    while True:
        audit = await ask() if ask is not None else None
        metrics = await asyncio.to_thread(read_metrics, metrics_path) if metrics_path is not None else None
        audited = ask is None or (audit is not None and audit.clean)
        counted = metrics_path is None or (
            metrics is not None and metrics.gaps_open == 0 and metrics.changes >= metrics_expected
        )
        if (audited and counted) or time.monotonic() >= ends_at:
            return Rest(audit, metrics)
        await asyncio.sleep(LOOK_EVERY_S)


async def count_receipts(
    find: Callable[[], Awaitable[set[str]]] | None, witnesses: Iterable[Witness], within_s: float
) -> int | None:
    """Return how many of the completed orders are among those with a receipt, waiting for what lacks; None if nobody can `find` it."""
    if find is None:
        return None
    owed = {one.order_id for one in witnesses if one.order is not None and one.order.status == "COMPLETED"}
    ends_at = time.monotonic() + within_s
    while True:
        found = await find()
        if owed <= found or time.monotonic() >= ends_at:
            return len(owed & found)
        await asyncio.sleep(LOOK_EVERY_S)


def asker(internal_url: str, identity: Identity | None = None) -> Callable[[], Awaitable[Audit | None]]:
    """Return what asks a gateway for its own audit; None is the answer of one that is being restarted."""

    async def ask() -> Audit | None:
        tls = toward(identities.GATEWAY, identity)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ATTEMPT_S)) as session,
                session.get(f"{internal_url}/internal/audit", **tls) as response,
            ):
                return msgspec.json.decode(await response.read(), type=Audit) if response.status == OK else None
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return None

    return ask


def read_metrics(path: Path) -> Metrics | None:
    """Read the analytics engine's status file; None if it is not there yet or half written."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Metrics)
    except (OSError, msgspec.DecodeError):
        return None
