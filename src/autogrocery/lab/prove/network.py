"""The network as those see it who break it and prove it: processes by name, links by name, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from autogrocery.lab.fault_proxy import FaultProxy
    from autogrocery.lab.replay.quiet import Audit
    from autogrocery.lab.replay.trucks import TruckLogin


class Written(Struct, frozen=True):
    """What the gateway's database holds in the end: status changes, and the shoppers' orders, COMPLETED ones apart.

    A receipt is owed for each of the latter, because every shopper has an address.
    """

    changes: int
    receipts_owed: frozenset[str]
    orders: frozenset[str]


class Network(Struct, frozen=True, kw_only=True):
    """A running network. The links are `schedule.LINKS`; the processes `schedule.PROCESSES` and `schedule.DATABASE`."""

    home: Path
    public_url: str  # through the balancing link
    gateway_urls: Mapping[str, str]  # each gateway's own public address, by process
    internal_urls: tuple[str, ...]  # and its internal one, in the same order
    links: Mapping[str, FaultProxy]
    pid: Callable[[str], int | None]
    times_restarted: Callable[[str], int]
    database_answers: Callable[[], Awaitable[bool]]
    audit: Callable[[], Awaitable[Audit | None]]
    written: Callable[[], Awaitable[Written | None]]
    trucks: tuple[TruckLogin, ...] = ()

    @property
    def metrics_path(self) -> Path:
        """Where analytics writes what it knows."""
        return self.home / "analytics.json"

    def receipts(self) -> set[str]:
        """Return the orders whose receipt lies in the home."""
        return {path.stem for path in (self.home / "receipts").glob("*.eml")}
