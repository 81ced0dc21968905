"""How every order stands, for comparing with what inventory says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg import Db


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
