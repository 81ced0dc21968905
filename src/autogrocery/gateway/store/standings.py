"""How every order and every restock stands, for comparing with what inventory says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class Standing(Struct, frozen=True):
    """An order's status, whether a call is owed, and how many units were picked (None unless COMPLETED)."""

    status: str
    owed: bool
    picked_units: int | None


LIST = """
-- standings.list
SELECT o.order_id, o.status, o.intent IS NOT NULL AS owed,
       CASE WHEN o.status = 'COMPLETED' THEN o.item_count - coalesce(
         (SELECT sum(l.quantity - s.picked) FROM short_picks s JOIN order_lines l USING (order_id, line_no)
           WHERE s.order_id = o.order_id), 0) END::int AS picked_units
  FROM grocery_orders o WHERE $1::uuid[] IS NULL OR o.order_id = ANY($1)
"""


async def list_standings(db: Db, only: Sequence[UUID] | None = None) -> dict[UUID, Standing]:
    """Return how every order stands, or those of `only`."""
    rows = await db.rows(LIST, list(only) if only is not None else None)
    return {row["order_id"]: Standing(row["status"], row["owed"], row["picked_units"]) for row in rows}


class RestockStanding(Struct, frozen=True):
    """A restock's status, whether inventory accepted it, whether a call is owed, and the units that came and are damaged."""

    status: str
    accepted: bool
    owed: bool
    received: int
    damaged: int


LIST_RESTOCKS = """
-- standings.list_restocks
SELECT r.order_id, r.status, r.accepted_at IS NOT NULL AS accepted, r.intent IS NOT NULL AS owed, l.received, l.damaged
  FROM restock_orders r,
       LATERAL (SELECT sum(received)::bigint AS received, sum(damaged)::bigint AS damaged FROM restock_lines WHERE order_id = r.order_id) l
 WHERE $1::uuid[] IS NULL OR r.order_id = ANY($1)
"""


async def list_restocks(db: Db, only: Sequence[UUID] | None = None) -> dict[UUID, RestockStanding]:
    """Return how every restock stands, or those of `only`."""
    rows = await db.rows(LIST_RESTOCKS, list(only) if only is not None else None)
    return {
        row["order_id"]: RestockStanding(row["status"], row["accepted"], row["owed"], row["received"], row["damaged"])
        for row in rows
    }


class Owner(Struct, frozen=True):
    """Whose an order is, and its status."""

    device_id: str
    status: str


OWNERS = """-- standings.owners
SELECT o.order_id, d.device_id, o.status
  FROM grocery_orders o JOIN smart_devices d ON d.id = o.user_id WHERE o.order_id = ANY ($1::uuid[])
"""


async def list_owners(db: Db, order_ids: Sequence[UUID]) -> dict[UUID, Owner]:
    """Return the owners of those of the orders that are known."""
    rows = await db.rows(OWNERS, list(order_ids))
    return {row["order_id"]: Owner(row["device_id"], row["status"]) for row in rows}
