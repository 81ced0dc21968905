"""Reported assignments, read by their orders' ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.pick_history import ReportedPick

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

# The reported assignments of orders that have ended, with the units of their lines. Rows are found by primary keys.
LIST = """-- picks.history
SELECT a.order_id, a.assignment_id, a.holder, a.aisle, a.created_at, a.closed_at, sum(l.quantity)::bigint AS units,
       coalesce(sum(l.picked), 0)::bigint AS picked,
       coalesce(array_agg(l.sku ORDER BY l.sku) FILTER (WHERE l.picked < l.quantity), '{}') AS short_skus
  FROM unnest($1::uuid[]) AS q (order_id)
  JOIN inventory.orders o ON o.order_id = q.order_id
  JOIN inventory.assignments a ON a.order_id = o.order_id
  JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
 WHERE o.state IN ('COMPLETED', 'FAILED') AND a.state IN ('PICKED', 'SHORT', 'FAILED')
 GROUP BY a.order_id, a.assignment_id ORDER BY a.order_id, a.assignment_id
"""


async def list_reported(db: Db, order_ids: Sequence[UUID]) -> list[ReportedPick]:
    """Return the reported assignments of those of the orders that have ended, by order."""
    return [
        ReportedPick(
            row["order_id"],
            row["assignment_id"],
            row["holder"],
            row["aisle"],
            row["units"],
            row["picked"],
            tuple(row["short_skus"]),
            row["created_at"],
            row["closed_at"],
        )
        for row in await db.rows(LIST, list(order_ids))
    ]
