"""One line for each order and each restock, which the audit compares with inventory's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class OrderSummary(Struct, frozen=True):
    """An order's status, whether a call is owed, and how many units were picked (None unless COMPLETED)."""

    status: str
    owed: bool
    picked_units: int | None


LIST = """
-- summaries.list_orders
SELECT o.order_id, o.status, o.intent IS NOT NULL AS owed,
       CASE WHEN o.status = 'COMPLETED' THEN o.item_count - coalesce(
         (SELECT sum(l.quantity - s.picked) FROM short_picks s JOIN order_lines l USING (order_id, line_no)
           WHERE s.order_id = o.order_id), 0) END::int AS picked_units
  FROM grocery_orders o WHERE $1::uuid[] IS NULL OR o.order_id = ANY($1)
"""


async def list_order_summaries(db: Db, only: Sequence[UUID] | None = None) -> dict[UUID, OrderSummary]:
    """Return the summary of every order, or of those in `only`."""
    rows = await db.rows(LIST, list(only) if only is not None else None)
    return {row["order_id"]: OrderSummary(row["status"], row["owed"], row["picked_units"]) for row in rows}


class RestockSummary(Struct, frozen=True):
    """A restock's status, whether inventory accepted it, whether a call is owed, and the units received and damaged."""

    status: str
    accepted: bool
    owed: bool
    received: int
    damaged: int


LIST_RESTOCKS = """
-- summaries.list_restocks
SELECT r.order_id, r.status, r.accepted_at IS NOT NULL AS accepted, r.intent IS NOT NULL AS owed, l.received, l.damaged
  FROM restock_orders r,
       LATERAL (SELECT sum(received)::bigint AS received, sum(damaged)::bigint AS damaged
                 FROM restock_lines WHERE order_id = r.order_id) l
 WHERE $1::uuid[] IS NULL OR r.order_id = ANY($1)
"""


async def list_restock_summaries(db: Db, only: Sequence[UUID] | None = None) -> dict[UUID, RestockSummary]:
    """Return the summary of every restock, or of those in `only`."""
    rows = await db.rows(LIST_RESTOCKS, list(only) if only is not None else None)
    return {
        row["order_id"]: RestockSummary(row["status"], row["accepted"], row["owed"], row["received"], row["damaged"])
        for row in rows
    }


class OrderOwner(Struct, frozen=True):
    """The device that an order belongs to, and the order's status."""

    device_id: str
    status: str


LIST_OWNERS = """-- summaries.list_owners
SELECT o.order_id, d.device_id, o.status
  FROM grocery_orders o JOIN smart_devices d ON d.id = o.user_id WHERE o.order_id = ANY ($1::uuid[])
"""


async def list_owners(db: Db, order_ids: Sequence[UUID]) -> dict[UUID, OrderOwner]:
    """Return the owner of each of the orders that exists."""
    rows = await db.rows(LIST_OWNERS, list(order_ids))
    return {row["order_id"]: OrderOwner(row["device_id"], row["status"]) for row in rows}
