"""The network under test: its processes and links by name, its audit, the totals of its database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from autogrocery.lab.fault_proxy import FaultProxy
    from autogrocery.lab.replay.fact_check import FactCheck
    from autogrocery.lab.replay.idle import Audit
    from autogrocery.lab.replay.trucks import TruckLogin


class DatabaseTotals(Struct, frozen=True):
    """Totals of the gateway's database: status changes, the devices' orders, and which of them owe a receipt.

    Every COMPLETED order owes a receipt, because every device of the load has an e-mail address.
    """

    changes: int
    receipts_owed: frozenset[str]
    orders: frozenset[str]


class Network(Struct, frozen=True, kw_only=True):
    """A running network. The links are `schedule.LINKS`; the processes `schedule.PROCESSES` and `schedule.DATABASE`."""

    home: Path
    public_url: str  # of the balancing proxy
    gateway_urls: Mapping[str, str]  # each gateway's own public URL, by process
    internal_urls: tuple[str, ...]  # its internal URL, in the same order
    links: Mapping[str, FaultProxy]
    pid: Callable[[str], int | None]
    times_restarted: Callable[[str], int]
    database_answers: Callable[[], Awaitable[bool]]
    audit: Callable[[], Awaitable[Audit | None]]
    database_totals: Callable[[], Awaitable[DatabaseTotals | None]]
    check_facts: Callable[[], Awaitable[FactCheck | None]]
    trucks: tuple[TruckLogin, ...] = ()

    @property
    def metrics_path(self) -> Path:
        """The status file of analytics."""
        return self.home / "analytics.json"

    def receipts(self) -> set[str]:
        """Return the ids of the orders whose receipt is in `home/receipts`."""
        return {path.stem for path in (self.home / "receipts").glob("*.eml")}
