"""How long rows of the database have waited for a loop or for the notifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

LAGS = """
-- lag.read
SELECT 'sweeper' AS queue, count(*) AS rows, coalesce(extract(epoch FROM now() - min(intent_at)), 0)::float8 AS lag_s
  FROM grocery_orders WHERE due_at IS NOT NULL AND intent IS NOT NULL
UNION ALL
SELECT 'restock_sweeper', count(*), coalesce(extract(epoch FROM now() - min(intent_at)), 0)::float8
  FROM restock_orders WHERE due_at IS NOT NULL AND intent IS NOT NULL
UNION ALL
SELECT 'receipts', count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
  FROM receipt_outbox WHERE done_at IS NULL AND dead_at IS NULL
UNION ALL
SELECT 'alerts', count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
  FROM alert_outbox WHERE done_at IS NULL AND dead_at IS NULL
"""


async def read(db: Db) -> dict[str, tuple[int, float]]:
    """Return by queue how many rows wait, and the age of the oldest in seconds, 0 without one; raises Unavailable."""
    return {row["queue"]: (row["rows"], row["lag_s"]) for row in await db.rows(LAGS)}
