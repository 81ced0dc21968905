"""What waits for longer than it should, in one list: orders, restocks, and letters that were given up."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003

from msgspec import Struct

from autogrocery.gateway.store.template import fill

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


class StuckRow(Struct, frozen=True):
    """An order or a restock that is flagged, or owes a call for too long. `overdue`: an open quote's time is over."""

    order_id: UUID
    status: str
    intent: str | None
    attention: str | None
    overdue: bool
    since: datetime | None
    attempts: int


COLUMNS = """
order_id, status, intent, attention, {overdue} AS overdue,
       coalesce(intent_at, {moved_at}, created_at) AS since, attempts
"""
LIST = """
-- {point}
SELECT {columns} FROM {table}
 WHERE due_at IS NOT NULL
   AND (attention IS NOT NULL OR (intent IS NOT NULL AND intent_at < now() - $1 * interval '1 second'))
 ORDER BY since, order_id LIMIT $2
"""
GET = "-- {point}\nSELECT {columns} FROM {table} WHERE order_id = $1"
ORDER_COLUMNS = fill(
    COLUMNS,
    overdue="(status = 'PREVIEWED' AND intent IS NULL AND expires_at <= now())",
    moved_at="dispatched_at",
)
RESTOCK_COLUMNS = fill(COLUMNS, overdue="false", moved_at="accepted_at")
LIST_ORDERS = fill(LIST, point="ops.list_stuck_orders", columns=ORDER_COLUMNS, table="grocery_orders")
LIST_RESTOCKS = fill(LIST, point="ops.list_stuck_restocks", columns=RESTOCK_COLUMNS, table="restock_orders")
GET_ORDER = fill(GET, point="ops.get_stuck_order", columns=ORDER_COLUMNS, table="grocery_orders")
GET_RESTOCK = fill(GET, point="ops.get_stuck_restock", columns=RESTOCK_COLUMNS, table="restock_orders")


async def list_orders(db: Db, owed_for_s: float, limit: int) -> list[StuckRow]:
    """Return up to `limit` orders that are flagged, or owe inventory a call for `owed_for_s` seconds; oldest first."""
    return [StuckRow(**row) for row in await db.rows(LIST_ORDERS, owed_for_s, limit)]


async def list_restocks(db: Db, owed_for_s: float, limit: int) -> list[StuckRow]:
    """Return such restocks."""
    return [StuckRow(**row) for row in await db.rows(LIST_RESTOCKS, owed_for_s, limit)]


async def get_order(db: Db, order_id: UUID) -> StuckRow | None:
    """Return one order, stuck or not; None if there is no such row."""
    row = await db.row(GET_ORDER, order_id)
    return StuckRow(**row) if row else None


async def get_restock(db: Db, order_id: UUID) -> StuckRow | None:
    """Return one restock, stuck or not; None if there is no such row."""
    row = await db.row(GET_RESTOCK, order_id)
    return StuckRow(**row) if row else None
