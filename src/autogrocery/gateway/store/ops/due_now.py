"""Rows that an operator makes due: what a loop would do later is then done now, by the caller or by a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import Due
from autogrocery.gateway.store.template import fill

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.contracts.ops.audit_log import Facts
    from autogrocery.kit.pg.db import Db


class RowState(Struct, frozen=True):
    """What an operator's action needs of an order's or a restock's row.

    `overdue`: an open quote's time has passed. `due`: a loop will claim the row at once.
    """

    user_id: int
    status: str
    intent: str | None
    attention: str | None
    overdue: bool
    ended: bool
    due: bool
    attempts: int

    @property
    def words(self) -> str:
        """Return the status, and the call that is owed."""
        return self.status if self.intent is None else f"{self.status}/{self.intent}"

    @property
    def facts(self) -> Facts:
        """Return what the audit log keeps of it."""
        return {"status": self.status, "intent": self.intent, "attention": self.attention}


READ = """
-- {point}
SELECT user_id, status, intent, attention, {overdue} AS overdue, finished_at IS NOT NULL AS ended,
       coalesce(due_at <= now(), false) AS due, attempts
  FROM {table} WHERE order_id = $1
"""
READ_ORDER = fill(
    READ,
    point="ops.read_order",
    table="grocery_orders",
    overdue="(status = 'PREVIEWED' AND intent IS NULL AND expires_at <= now())",
)
READ_RESTOCK = fill(READ, point="ops.read_restock", table="restock_orders", overdue="false")


async def read_order(db: Db, order_id: UUID) -> RowState | None:
    """Return the state of an order, None if there is no such row."""
    row = await db.row(READ_ORDER, order_id)
    return RowState(**row) if row else None


async def read_restock(db: Db, order_id: UUID) -> RowState | None:
    """Return the state of a restock, None if there is no such row."""
    row = await db.row(READ_RESTOCK, order_id)
    return RowState(**row) if row else None


# The lease keeps the sweeper away while the caller makes the call; safety does not depend on it.
CLAIM = """
-- ops.claim_order
UPDATE grocery_orders SET due_at = now() + $2 * interval '1 second'
 WHERE order_id = $1 AND intent IS NOT NULL
RETURNING order_id, extract(epoch FROM now() - coalesce(intent_at, now()))::float8 AS owed_s
"""


async def claim_order(db: Db, order_id: UUID, lease_s: float) -> Due | None:
    """Claim one order that owes inventory a call; None if it owes none any more."""
    row = await db.row(CLAIM, order_id, lease_s)
    return Due(row["order_id"], row["owed_s"]) if row else None


HASTEN = """
-- {point}
UPDATE {table} SET due_at = now() WHERE order_id = $1 AND due_at IS NOT NULL AND due_at > now()
"""
HASTEN_ORDER = fill(HASTEN, point="ops.hasten_order", table="grocery_orders")
HASTEN_RESTOCK = fill(HASTEN, point="ops.hasten_restock", table="restock_orders")


async def hasten_order(db: Db, order_id: UUID) -> bool:
    """Make the order due for its loop; False if it is due already or has ended."""
    return await db.run(HASTEN_ORDER, order_id) == 1


async def hasten_restock(db: Db, order_id: UUID) -> bool:
    """Make the restock due for its loop; False if it is due already or has ended."""
    return await db.run(HASTEN_RESTOCK, order_id) == 1


UNFLAG = """
-- {point}
UPDATE {table} SET attention = NULL, attempts = 0
 WHERE order_id = $1 AND intent IS NULL AND finished_at IS NULL AND attention = $2
"""
UNFLAG_ORDER = fill(UNFLAG, point="ops.unflag_order", table="grocery_orders")
UNFLAG_RESTOCK = fill(UNFLAG, point="ops.unflag_restock", table="restock_orders")


async def unflag_order(db: Db, order_id: UUID, why: str) -> None:
    """Clear the flag that an operator has seen, so that only a new answer of inventory sets one."""
    await db.run(UNFLAG_ORDER, order_id, why)


async def unflag_restock(db: Db, order_id: UUID, why: str) -> None:
    """Clear the flag of a restock in the same way."""
    await db.run(UNFLAG_RESTOCK, order_id, why)


class LetterState(Struct, frozen=True):
    """The delivery state of a receipt or alert: done, dead, due; `note` is the last error, or why nothing was sent."""

    state: str
    note: str | None
    created_at: datetime


READ_LETTER = """
-- {point}
SELECT CASE WHEN done_at IS NOT NULL THEN 'done' WHEN dead_at IS NOT NULL THEN 'dead' ELSE 'due' END AS state,
       last_error AS note, created_at
  FROM {table} WHERE order_id = $1
"""
READ_RECEIPT = fill(READ_LETTER, point="ops.read_receipt", table="receipt_outbox")
READ_ALERT = fill(READ_LETTER, point="ops.read_alert", table="alert_outbox")


async def read_receipt(db: Db, order_id: UUID) -> LetterState | None:
    """Return the delivery state of the order's receipt, None if it has none."""
    row = await db.row(READ_RECEIPT, order_id)
    return LetterState(**row) if row else None


async def read_alert(db: Db, order_id: UUID) -> LetterState | None:
    """Return the delivery state of the order's alert, None if it has none: an order ends, and alerts, once."""
    row = await db.row(READ_ALERT, order_id)
    return LetterState(**row) if row else None


# A claim leases a row for 30 s. A row that is due later than that waits after a failure and is being sent by nobody.
HASTEN_RECEIPT = """
-- ops.hasten_receipt
UPDATE receipt_outbox SET next_attempt_at = now()
 WHERE order_id = $1 AND done_at IS NULL AND dead_at IS NULL AND next_attempt_at > now() + interval '30 seconds'
"""


async def hasten_receipt(db: Db, order_id: UUID) -> bool:
    """Make a receipt that waits for its next try due now; False if it is due within 30 s or is being sent."""
    return await db.run(HASTEN_RECEIPT, order_id) == 1


REPLAY_ALERT = """
-- ops.replay_alert
UPDATE alert_outbox SET dead_at = NULL, last_error = NULL, attempts = 0, next_attempt_at = now()
 WHERE order_id = $1 AND dead_at IS NOT NULL AND done_at IS NULL AND created_at > now() - interval '1 day'
"""


async def replay_alert(db: Db, order_id: UUID) -> bool:
    """Make a dead alert due again; False if it is not dead, or older than a day: alerts are news."""
    return await db.run(REPLAY_ALERT, order_id) == 1


class LetterRow(Struct, frozen=True):
    """A dead receipt or alert."""

    kind: str
    order_id: UUID
    device_id: str
    event: str
    attempts: int
    last_error: str | None
    created_at: datetime
    dead_at: datetime


LIST_DEAD = """
-- ops.list_dead
SELECT * FROM (
  SELECT 'receipts' AS kind, r.order_id, d.device_id, 'COMPLETED' AS event, r.attempts, r.last_error, r.created_at,
         r.dead_at
    FROM receipt_outbox r JOIN grocery_orders o USING (order_id) JOIN smart_devices d ON d.id = o.user_id
   WHERE r.dead_at IS NOT NULL AND r.done_at IS NULL AND ($1::text IS NULL OR $1 = 'receipts')
  UNION ALL
  SELECT 'alerts', a.order_id, d.device_id, a.event, a.attempts, a.last_error, a.created_at, a.dead_at
    FROM alert_outbox a JOIN smart_devices d ON d.id = a.user_id
   WHERE a.dead_at IS NOT NULL AND a.done_at IS NULL AND ($1::text IS NULL OR $1 = 'alerts')) dead
 WHERE $2::timestamptz IS NULL OR (dead_at, order_id) < ($2, $3::uuid)
 ORDER BY dead_at DESC, order_id DESC LIMIT $4
"""


async def list_dead(db: Db, *, kind: str | None, before: tuple[datetime, UUID] | None, limit: int) -> list[LetterRow]:
    """Return up to `limit` dead letters, the newest first, that died before the position `before`."""
    at, order_id = before or (None, None)
    return [LetterRow(**row) for row in await db.rows(LIST_DEAD, kind, at, order_id, limit)]
