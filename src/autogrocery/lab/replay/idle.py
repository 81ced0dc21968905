"""Wait until the network is idle; read its audit, its metrics and its receipts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.kit.security.tls import tls_arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.replay.replay import FinalOrder

POLL_S: Final = 0.5
AUDIT_TIMEOUT_S: Final = 30.0
OK: Final = 200


class Invariant(Struct, frozen=True):
    """One invariant of the databases, and how many rows violate it."""

    name: str
    violations: int
    examples: list[Any] = []


class Audit(Struct, frozen=True):
    """The result of an audit: clean if no invariant is violated."""

    clean: bool
    invariants: list[Invariant]


class Metrics(Struct, frozen=True):
    """The status file of analytics; an open gap is a status change that it has not received.

    `unique` counts status changes, however they arrived; without it, every frame counts as one.
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
        """How many status changes analytics knows of."""
        return self.received if self.unique is None else self.unique


class IdleState(Struct, frozen=True):
    """Audit and metrics as last read; None for what could not be read or was not asked for."""

    audit: Audit | None = None
    metrics: Metrics | None = None


async def wait_until_idle(
    audit: Callable[[], Awaitable[Audit | None]] | None,
    metrics_path: Path | None,
    metrics_expected: int,
    within_s: float = 30.0,
) -> IdleState:
    """Poll until the audit is clean and every expected metric was received without a gap; return the last state."""
    ends_at = time.monotonic() + within_s
    while True:
        found = await audit() if audit is not None else None
        metrics = await asyncio.to_thread(read_metrics, metrics_path) if metrics_path is not None else None
        audited = audit is None or (found is not None and found.clean)
        counted = metrics_path is None or (
            metrics is not None and metrics.gaps_open == 0 and metrics.changes >= metrics_expected
        )
        if (audited and counted) or time.monotonic() >= ends_at:
            return IdleState(found, metrics)
        await asyncio.sleep(POLL_S)


async def count_receipts(
    find_receipts: Callable[[], Awaitable[set[str]]] | None, final_orders: Iterable[FinalOrder], within_s: float
) -> int | None:
    """Return how many completed orders have a receipt, waiting up to `within_s` for missing ones.

    Returns None without `find_receipts`, which returns the ids of the orders with a receipt.
    """
    if find_receipts is None:
        return None
    owed = {one.order_id for one in final_orders if one.order is not None and one.order.status == "COMPLETED"}
    ends_at = time.monotonic() + within_s
    while True:
        found = await find_receipts()
        if owed <= found or time.monotonic() >= ends_at:
            return len(owed & found)
        await asyncio.sleep(POLL_S)


def gateway_auditor(internal_url: str, identity: Identity | None = None) -> Callable[[], Awaitable[Audit | None]]:
    """Return a function that reads a gateway's audit; it returns None while the gateway does not answer."""

    async def audit() -> Audit | None:
        tls = tls_arguments(identities.GATEWAY, identity)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=AUDIT_TIMEOUT_S)) as session,
                session.get(f"{internal_url}/internal/audit", **tls) as response,
            ):
                return msgspec.json.decode(await response.read(), type=Audit) if response.status == OK else None
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return None

    return audit


def read_metrics(path: Path) -> Metrics | None:
    """Read the status file of analytics; None if it is missing or half written."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Metrics)
    except (OSError, msgspec.DecodeError):
        return None
