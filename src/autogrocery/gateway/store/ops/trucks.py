"""Trucks and the restocks that each has announced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.deliveries import TruckRow

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

LIST = """
-- ops.trucks
SELECT d.device_id, coalesce(d.supplier_id, ''), d.supplier_name, d.disabled_at IS NOT NULL,
       coalesce(r.open, 0), coalesce(r.ended, 0), r.last_at
  FROM (SELECT id, device_id, supplier_id, supplier_name, disabled_at FROM smart_devices
         WHERE kind = 'truck' AND device_id > $1 ORDER BY device_id LIMIT $2) d
  LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE finished_at IS NULL) AS open,
           count(*) FILTER (WHERE finished_at IS NOT NULL) AS ended,
           max(created_at) AS last_at
      FROM restock_orders WHERE user_id = d.id) r ON true
 ORDER BY d.device_id
"""


async def list_trucks(db: Db, cursor: str, limit: int) -> list[TruckRow]:
    """Return at most `limit` trucks by id, after `cursor`."""
    return [TruckRow(*row.values()) for row in await db.rows(LIST, cursor, limit)]
