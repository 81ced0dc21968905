"""Whether the gateway's database has the tables that the notifier uses. Its migrations are the gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

OUTBOX: Final = ("order_id", "created_at", "attempts", "next_attempt_at", "done_at", "dead_at", "last_error")
REQUIRED: Final = {
    "smart_devices": ("id", "email", "phone", "alerts"),
    "grocery_orders": (
        "order_id",
        "user_id",
        "currency",
        "quoted_total_cents",
        "total_cents",
        "outcome",
        "created_at",
        "confirmed_at",
        "finished_at",
    ),
    "order_lines": ("order_id", "line_no", "sku", "name", "quantity", "unit_price_cents"),
    "short_picks": ("order_id", "line_no", "picked"),
    "receipt_outbox": OUTBOX,
    "alert_outbox": (*OUTBOX, "event", "user_id", "admitted_at"),
}

MISSING = """
-- schema.missing
SELECT q.place || '.' || q.name AS missing
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (place, name, at)
 WHERE NOT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = to_regclass(q.place) AND a.attname = q.name AND NOT a.attisdropped)
 ORDER BY q.at
"""


async def missing_columns(db: Db) -> list[str]:
    """Return the columns, as `table.column`, that the notifier uses and this database lacks."""
    pairs = [(table, column) for table, columns in REQUIRED.items() for column in columns]
    tables, columns = map(list, zip(*pairs, strict=True))
    return [row["missing"] for row in await db.rows(MISSING, tables, columns)]
