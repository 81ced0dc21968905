"""The gateway's database in memory: each statement by its name, executed atomically."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from autogrocery.kit.pg.db import point_of
from tests.proofs.simulation.statements import ORDERS, shown
from tests.proofs.simulation.tables import BEGINNING, Statement, Tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.batch import BatchStatement
    from tests.proofs.simulation.tables import Row

ATTENTION = "inventory gives no clear answer"
name_of = cache(point_of)


def claim(
    s: Statement, limit: int, wanted: Callable[[Row], bool], wait_s: Callable[[Row], float], **more: Any
) -> list[Row]:
    due = [
        order for order in s.tables.orders.values() if order["due_at"] and order["due_at"] <= s.now and wanted(order)
    ]
    due.sort(key=lambda order: order["due_at"])
    answer = []
    for old in due[:limit]:
        changes = {name: value(old) for name, value in more.items()}
        s.change(old, attempts=old["attempts"] + 1, due_at=s.later(wait_s(old)), **changes)
        owed_s = (s.now - (old["intent_at"] or s.now)).total_seconds()
        answer.append({"order_id": old["order_id"], "owed_s": owed_s})
    return answer


def claim_owed(s: Statement, limit: int, lease_s: float) -> list[Row]:
    def wait_s(order: Row) -> float:
        cap_s = 60.0 if order["intent_at"] < s.now - timedelta(minutes=10) else 5.0
        backoff_s: float = min(cap_s, 0.25 * 2.0 ** float(min(order["attempts"], 10)))
        return lease_s + s.random() * backoff_s

    def attention(order: Row) -> str | None:
        return ATTENTION if order["attempts"] + 1 >= 10 else None

    return claim(s, limit, lambda order: order["intent"] is not None, wait_s, attention=attention)


def claim_expired(s: Statement, limit: int, lease_s: float) -> list[Row]:
    def wanted(order: Row) -> bool:
        return order["status"] == "PREVIEWED" and order["intent"] is None and order["expires_at"] <= s.now

    return claim(s, limit, wanted, lambda _order: lease_s + s.random())


def claim_silent(s: Statement, limit: int, lease_s: float, again_s: float) -> list[Row]:
    def wanted(order: Row) -> bool:
        return order["status"] == "PROCESSING" and order["intent"] is None

    def attention(order: Row) -> str | None:
        reason: str | None = order["attention"]
        return (reason or ATTENTION) if order["attempts"] + 1 >= 10 else reason

    wait_s = lambda _order: lease_s + again_s * (0.8 + 0.4 * s.random())  # noqa: E731
    return claim(s, limit, wanted, wait_s, attention=attention)


def note_answer(s: Statement, order_id: UUID, reason: str) -> list[Row]:
    order = s.tables.orders.get(order_id)
    if not order or order["intent"] or order["finished_at"]:
        return []
    kept = None if order["attention"] == reason else order["attention"]
    return [s.change(order, attempts=0, attention=kept)]


def hasten(s: Statement) -> list[Row]:
    late = s.later(1)
    owed = [order for order in s.tables.orders.values() if order["intent"] and order["due_at"] > late]
    return [s.change(order, due_at=s.later(s.random())) for order in owed]


def flag(s: Statement, order_id: UUID, why: str) -> list[Row]:
    order = s.tables.orders.get(order_id)
    return [s.change(order, attention=why)] if order and order["finished_at"] is None else []


def count(s: Statement) -> list[Row]:
    living = [order for order in s.tables.orders.values() if order["due_at"]]
    return [
        {
            "owed": sum(order["intent"] is not None for order in living),
            "attention": sum(order["attention"] is not None for order in living),
            "previewed": sum(order["status"] == "PREVIEWED" for order in living),
            "processing": sum(order["status"] == "PROCESSING" for order in living),
        }
    ]


def remember(s: Statement, order_id: UUID, webhook_id: str, sha256: bytes) -> list[Row]:
    known = s.tables.inbox.get((order_id, webhook_id))
    if known is None:
        s.remember(order_id, webhook_id, sha256)
    return [{"body_sha256": known["body_sha256"] if known else sha256}]


def claim_receipts(s: Statement, limit: int, lease_s: float) -> list[Row]:
    open_ = [row for row in s.tables.receipts.values() if row["done_at"] is None and row["dead_at"] is None]
    due = sorted((row for row in open_ if row["next_attempt_at"] <= s.now), key=lambda row: row["next_attempt_at"])
    return [
        _read(s, s.change_receipt(row, next_attempt_at=s.later(lease_s), attempts=row["attempts"] + 1))
        for row in due[:limit]
    ]


def _read(s: Statement, receipt: Row) -> Row:
    """Return a claimed receipt with its order, lines and address."""
    order = s.tables.orders[receipt["order_id"]]
    return {
        **shown(s, order),
        **receipt,
        "age_s": (s.now - receipt["created_at"]).total_seconds(),
        "email": s.tables.devices[order["user_id"]],
        "ordered_at": order["confirmed_at"] or order["created_at"],
    }


def settle(s: Statement, *columns: list[Any]) -> list[Row]:
    written = []
    for order_id, result, note, wait_s, attempts in zip(*columns, strict=True):
        row = s.tables.receipts.get(order_id)
        if row is None or not (
            result in {"delivered", "needless"} or (row["attempts"] == attempts and row["done_at"] is None)
        ):
            continue
        changes = {
            "delivered": {"done_at": s.now},
            "needless": {"done_at": s.now},
            "buried": {"dead_at": s.now},
            "deferred": {"next_attempt_at": s.later(wait_s)},
        }[result]
        written.append(s.change_receipt(row, last_error=note, **changes))
    return written


def add_epoch(s: Statement, epoch: int) -> list[Row]:
    if epoch in s.tables.epochs:
        return []
    s.add_epoch(epoch)
    return [{"epoch": epoch}]


STATEMENTS: dict[str, Callable[..., list[Row]]] = {
    **ORDERS,
    "due.claim_owed": claim_owed,
    "due.claim_expired": claim_expired,
    "due.claim_silent": claim_silent,
    "due.hasten": hasten,
    "due.flag": flag,
    "due.note_answer": note_answer,
    "due.count": count,
    "inbox.remember": remember,
    "receipt_outbox.claim": claim_receipts,
    "receipt_outbox.settle": settle,
    "metrics_log.add_epoch": add_epoch,
}


class MemoryDb:
    """The tables behind the interface of kit.pg.Db; `now` and `random` stand for the database's own."""

    def __init__(self, random: Callable[[], float]) -> None:
        self.tables = Tables()
        self.now = BEGINNING
        self.random = random
        self.statements = dict(STATEMENTS)
        self.on_change: Callable[[Row | None, Row], None] = lambda _old, _new: None

    def execute(self, name: str, args: tuple[Any, ...], now: datetime) -> tuple[list[Row], Statement]:
        """Run the statement of that name as of `now`; raises LookupError if it is not implemented, and asyncpg's
        errors."""
        function = self.statements.get(name)
        if function is None:
            raise LookupError(f"the memory database has no statement {name!r}: add it in tests/proofs/simulation")
        statement = Statement(self.tables, now, self.random)
        answer = function(statement, *args)
        statement.commit()
        for old, new in statement.moved:
            self.on_change(old, new)
        return answer, statement

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        return self.execute(name_of(sql), args, self.now)[0]

    async def rows_by_key(self, sql: str, *args: Any) -> list[Row]:
        return await self.rows(sql, *args)

    async def run_batched(self, _many: BatchStatement, point: str, row: Any, *lists: Any) -> list[Row]:
        return self.execute(point, (row, *lists), self.now)[0]

    async def row(self, sql: str, *args: Any) -> Row | None:
        found = await self.rows(sql, *args)
        return found[0] if found else None

    async def run(self, sql: str, *args: Any) -> int:
        return len(await self.rows(sql, *args))
