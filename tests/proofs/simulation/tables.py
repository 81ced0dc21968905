"""The gateway's tables in memory with the constraints of its migrations; a statement is checked, then written
atomically."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg

from autogrocery.gateway.core.order import EDGES, TERMINAL, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.contracts.analytics.metric import OrderMetric

Row = dict[str, Any]
BEGINNING: Final = datetime(2030, 1, 1, tzinfo=UTC)
STEPS: Final = frozenset((start.value, end.value) for (start, _), end in EDGES.items())
CHANGES: Final = frozenset(
    {(1, None, "PREVIEWED"), *((2 if start == "PREVIEWED" else 3, start, end) for start, end in STEPS)}
)
ENDS: Final = frozenset(status.value for status in TERMINAL)
STATUSES: Final = frozenset(status.value for status in Status)
RELEASE_AS: Final = {"PREVIEWED": {"CANCELLED", "EXPIRED", "FAILED"}, "PROCESSING": {"CANCELLED"}}
OVERTAKEN: Final = frozenset({"COMPLETED", "FAILED"})  # the statuses that a webhook sets on a PREVIEWED order

# The CHECKs by name; as in SQL, true and unknown pass.
CHECKS: Final[dict[str, Callable[[Row], bool]]] = {
    "status_is_known": lambda o: o["status"] in STATUSES,
    "intent_is_known": lambda o: o["intent"] in {None, "DISPATCH", "RELEASE"},
    "dispatch_is_owed_by_a_previewed_order": lambda o: o["intent"] != "DISPATCH" or o["status"] == "PREVIEWED",
    "release_is_owed_by_a_living_order": lambda o: (
        o["intent"] != "RELEASE" or o["release_as"] in RELEASE_AS.get(o["status"], ())
    ),
    "intent_has_a_start": lambda o: (o["intent"] is None) == (o["intent_at"] is None),
    "living_order_is_looked_after": lambda o: (o["finished_at"] is None) == (o["due_at"] is not None),
    "terminal_order_has_finished": lambda o: (o["status"] not in ENDS) == (o["finished_at"] is None),
    "processing_order_was_dispatched": lambda o: (
        o["status"] not in {"PROCESSING", "COMPLETED"} or o["dispatched_at"] is not None
    ),
    "previewed_and_expired_orders_were_not_dispatched": lambda o: (
        o["status"] not in {"PREVIEWED", "EXPIRED"} or o["dispatched_at"] is None
    ),
    "outcome_belongs_to_completed": lambda o: (o["outcome"] is not None) == (o["status"] == "COMPLETED"),
    "outcome_is_known": lambda o: o["outcome"] in {None, "FULL", "PARTIAL"},
    "failed_order_costs_nothing": lambda o: o["status"] != "FAILED" or o["total_cents"] == 0,
    "totals_are_money": lambda o: 0 <= o["total_cents"] <= o["quoted_total_cents"],
}


class Tables:
    """All rows. `devices` maps a user id to its e-mail address."""

    def __init__(self) -> None:
        self.devices: dict[int, str | None] = {}
        self.orders: dict[UUID, Row] = {}
        self.lines: dict[UUID, list[Row]] = {}
        self.short_picks: dict[tuple[UUID, int], int] = {}
        self.history: dict[UUID, dict[int, Row]] = {}
        self.epochs: dict[int, datetime] = {}
        self.inbox: dict[tuple[UUID, str], Row] = {}
        self.receipts: dict[UUID, Row] = {}

    def knows(self, metric: OrderMetric) -> bool:
        """Whether the change of a metric is committed under the metric's number."""
        change = self.history.get(UUID(metric.order_id), {}).get(metric.version)
        return change is not None and (change["epoch"], change["sequence"]) == (metric.epoch, metric.sequence)


class Statement:
    """One statement: reads see the tables before it, writes are buffered until `commit`."""

    def __init__(self, tables: Tables, now: datetime, random: Callable[[], float]) -> None:
        self.tables = tables
        self.now = now
        self.random = random
        self._writes: list[tuple[dict[Any, Any], Any, Any]] = []
        self._orphans: list[str] = []  # dangling references, which PostgreSQL checks at the end of the statement
        self.moved: list[tuple[Row | None, Row]] = []
        self.numbers: list[tuple[int, int]] = []  # the metric numbers of the written changes

    def later(self, seconds: float) -> datetime:
        """`now() + seconds * interval '1 second'`."""
        return self.now + timedelta(seconds=seconds)

    def commit(self) -> None:
        """Make all writes of the statement visible at once; raises ForeignKeyViolationError."""
        if self._orphans:
            raise asyncpg.ForeignKeyViolationError(self._orphans[0])
        for table, key, value in self._writes:
            table[key] = value

    def add_order(self, order: Row, lines: list[Row]) -> None:
        """INSERT an order, whose id is free, with its lines."""
        if (order["status"], order["version"]) != ("PREVIEWED", 1):
            raise asyncpg.IntegrityConstraintViolationError("an order begins as PREVIEWED")
        self._check(order)
        for line in lines:
            if not 1 <= line["quantity"] <= line["requested"]:
                raise asyncpg.CheckViolationError("quantity_is_granted_of_requested")
            if line["unit_price_cents"] < 0:
                raise asyncpg.CheckViolationError("price_is_money")
        if order["user_id"] not in self.tables.devices:
            self._orphans.append("smart_devices")
        self._write(self.tables.orders, order["order_id"], order)
        self._write(self.tables.lines, order["order_id"], lines)
        self.moved.append((None, order))

    def change(self, old: Row, **changes: Any) -> Row:
        """UPDATE one order; raises the errors of the edge trigger and of the CHECKs."""
        new = {**old, **changes}
        if not _is_a_step(old, new):
            raise asyncpg.IntegrityConstraintViolationError("the edge table has no such step")
        self._check(new)
        self._write(self.tables.orders, old["order_id"], new)
        self.moved.append((old, new))
        return new

    def note(
        self, order_id: UUID, version: int, start: str | None, end: str, cause: str, metric: tuple[int, int]
    ) -> None:
        """INSERT a history row; `metric` is its epoch and sequence."""
        if (version, start, end) not in CHANGES:
            raise asyncpg.CheckViolationError("history_follows_the_edges")
        if version in self.tables.history.get(order_id, ()):
            raise asyncpg.UniqueViolationError("order_history_pkey")
        epoch, sequence = metric
        row = {
            "order_id": order_id,
            "version": version,
            "from_status": start,
            "to_status": end,
            "cause": cause,
            "at": self.now,
            "epoch": epoch,
            "sequence": sequence,
        }
        self._write(self.tables.history.setdefault(order_id, {}), version, row)
        self.numbers.append(metric)

    def add_short_pick(self, order_id: UUID, line_no: int, picked: int) -> None:
        if picked < 0:
            raise asyncpg.CheckViolationError("picked_is_a_count")
        if not 1 <= line_no <= len(self.tables.lines[order_id]):
            self._orphans.append("order_lines")
        self._add(self.tables.short_picks, (order_id, line_no), picked)

    def add_receipt(self, order_id: UUID, *, done: bool) -> None:
        row = {
            "order_id": order_id,
            "created_at": self.now,
            "attempts": 0,
            "next_attempt_at": self.now,
            "done_at": self.now if done else None,
            "dead_at": None,
            "last_error": None,
        }
        self._add(self.tables.receipts, order_id, row)

    def change_receipt(self, old: Row, **changes: Any) -> Row:
        new = {**old, **changes}
        self._write(self.tables.receipts, old["order_id"], new)
        return new

    def remember(self, order_id: UUID, webhook_id: str, sha256: bytes) -> None:
        if order_id not in self.tables.orders:
            self._orphans.append("grocery_orders")
        row = {"order_id": order_id, "webhook_id": webhook_id, "body_sha256": sha256, "received_at": self.now}
        self._add(self.tables.inbox, (order_id, webhook_id), row)

    def add_epoch(self, epoch: int) -> None:
        self._add(self.tables.epochs, epoch, self.now)

    def _check(self, order: Row) -> None:
        for name, holds in CHECKS.items():
            if not holds(order):
                raise asyncpg.CheckViolationError(name)

    def _add(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        if key in table or any(other is table and known == key for other, known, _ in self._writes):
            raise asyncpg.UniqueViolationError(str(key))
        self._write(table, key, value)

    def _write(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._writes.append((table, key, value))


def _is_a_step(old: Row, new: Row) -> bool:
    """The condition of the trigger status_follows_the_edges."""
    grown = new["version"] - old["version"]
    if grown == 0:
        return bool(new["status"] == old["status"] and old["finished_at"] is None)
    if grown == 1:
        return (old["status"], new["status"]) in STEPS
    send_webhook_once = old["status"] == "PREVIEWED" and new["status"] in OVERTAKEN and new["dispatched_at"] is not None
    return grown == 2 and send_webhook_once
