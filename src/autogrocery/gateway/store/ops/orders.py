"""Orders for operators: a search that reads a bounded number of rows, and the parts of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.gateway.store.orders import PagePosition

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Row

SCAN: Final = 5_000  # rows that one search reads at most
MAX_DEVICES: Final = 20  # devices whose name begins with the text that was searched

BOUNDS = "(o.created_at, o.order_id) < ($1, $2::uuid) AND o.created_at >= $3 AND o.created_at < $4"
BY_TIME = f"""
SELECT o.* FROM grocery_orders o WHERE {BOUNDS} ORDER BY o.created_at DESC, o.order_id DESC LIMIT {SCAN}
"""  # noqa: S608 - made of the constants above
BY_DEVICE = f"""
SELECT o.* FROM unnest($5::int[]) AS u (user_id),
       LATERAL (SELECT * FROM grocery_orders o WHERE o.user_id = u.user_id AND {BOUNDS}
                 ORDER BY o.created_at DESC, o.order_id DESC LIMIT {SCAN}) o
 ORDER BY o.created_at DESC, o.order_id DESC LIMIT {SCAN}
"""  # noqa: S608
LIVING = f"""
SELECT o.* FROM grocery_orders o WHERE o.due_at IS NOT NULL AND {BOUNDS}
   AND ($7::text IS NULL OR o.status = $7) AND (NOT $10 OR o.attention IS NOT NULL)
 ORDER BY o.created_at DESC, o.order_id DESC LIMIT {SCAN}
"""  # noqa: S608
BY_PREFIX = f"""
SELECT o.* FROM grocery_orders o WHERE o.order_id BETWEEN ($5::uuid[])[1] AND ($5::uuid[])[2] AND {BOUNDS}
 ORDER BY o.created_at DESC, o.order_id DESC LIMIT {SCAN}
"""  # noqa: S608
ROW = """
o.order_id, d.device_id, o.status, o.intent, o.dispatched_at, o.total_cents, o.currency, o.item_count, o.created_at,
o.finished_at, h.cause, o.attention
"""


def _search(name: str, scan: str, fifth: str) -> str:
    """Return the search over the rows of `scan`; its last row says where the scan ended, if it was not exhausted."""
    return f"""
-- ops.{name}
WITH given AS (SELECT $5::{fifth} AS fifth),
scanned AS MATERIALIZED ({scan}),
kept AS (
  SELECT {ROW}
    FROM scanned o JOIN smart_devices d ON d.id = o.user_id
    JOIN order_history h ON h.order_id = o.order_id AND h.version = o.version
   WHERE ($7::text IS NULL OR o.status = $7)
     AND ($8::text IS NULL OR h.cause = $8)
     AND ($9::text IS NULL OR EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.order_id AND l.sku = $9))
     AND (NOT $10 OR o.attention IS NOT NULL)
   ORDER BY o.created_at DESC, o.order_id DESC LIMIT $6)
SELECT kept.*, z.rows AS scan_rows, z.at AS scan_at, z.last AS scan_id
  FROM (SELECT count(*) AS rows, (SELECT created_at FROM scanned ORDER BY created_at, order_id LIMIT 1) AS at,
               (SELECT order_id FROM scanned ORDER BY created_at, order_id LIMIT 1) AS last
          FROM scanned) z LEFT JOIN kept ON true
 ORDER BY kept.created_at DESC, kept.order_id DESC
"""  # noqa: S608


SEARCH_BY_TIME = _search("search_by_time", BY_TIME, "int[]")
SEARCH_BY_DEVICE = _search("search_by_device", BY_DEVICE, "int[]")
SEARCH_LIVING = _search("search_living", LIVING, "int[]")
SEARCH_BY_PREFIX = _search("search_by_prefix", BY_PREFIX, "uuid[]")


class FoundOrder(Struct, frozen=True):
    """A row of the search; `cause` is that of the last status change."""

    order_id: UUID
    device_id: str
    status: str
    intent: str | None
    dispatched_at: datetime | None
    total_cents: int
    currency: str
    item_count: int
    created_at: datetime
    finished_at: datetime | None
    cause: str
    attention: str | None


class Search(Struct, frozen=True):
    """What is searched: orders created in [since, until) before the position, newest first.

    At most one of `user_ids`, `between` (the first and the last id of a prefix) and `living` (not ended) is given.
    """

    before: PagePosition
    since: datetime
    until: datetime
    limit: int
    status: str | None = None
    cause: str | None = None
    sku: str | None = None
    attention: bool = False
    living: bool = False
    user_ids: tuple[int, ...] | None = None
    between: tuple[UUID, UUID] | None = None


class Found(Struct, frozen=True):
    """Up to `limit` rows, and where the scan stopped before it had seen all, None if it saw all."""

    rows: list[FoundOrder]
    stopped: PagePosition | None


async def search(db: Db, wanted: Search) -> Found:
    """Return the orders that fit, of the SCAN newest that are searched."""
    if wanted.between is not None:
        sql, fifth = SEARCH_BY_PREFIX, list[object](wanted.between)
    elif wanted.user_ids is not None:
        sql, fifth = SEARCH_BY_DEVICE, list[object](wanted.user_ids)
    else:
        sql, fifth = SEARCH_LIVING if wanted.living else SEARCH_BY_TIME, []
    rows = await db.rows(
        sql,
        wanted.before.created_at,
        wanted.before.order_id,
        wanted.since,
        wanted.until,
        fifth,
        wanted.limit,
        wanted.status,
        wanted.cause,
        wanted.sku,
        wanted.attention,
    )
    stopped = PagePosition(rows[0]["scan_at"], rows[0]["scan_id"]) if rows[0]["scan_rows"] >= SCAN else None
    return Found([_found(row) for row in rows if row["order_id"] is not None], stopped)


FIND_DEVICES = f"""
-- ops.find_devices
SELECT id FROM smart_devices WHERE starts_with(device_id, $1) ORDER BY device_id LIMIT {MAX_DEVICES}
"""  # noqa: S608


async def find_devices(db: Db, prefix: str) -> tuple[int, ...]:
    """Return the accounts whose name begins with `prefix`, in which no character is a wildcard; MAX_DEVICES at most."""
    return tuple(row["id"] for row in await db.rows(FIND_DEVICES, prefix))


FIND_DEVICE = """
-- ops.find_device
SELECT id FROM smart_devices WHERE device_id = $1
"""


async def find_device(db: Db, device_id: str) -> tuple[int, ...]:
    """Return the account of that name, as the only one or none."""
    return tuple(row["id"] for row in await db.rows(FIND_DEVICE, device_id))


GET_ROW = f"""
-- ops.get_order
SELECT {ROW}, o.intent_at, o.attempts, o.due_at
  FROM grocery_orders o JOIN smart_devices d ON d.id = o.user_id
  JOIN order_history h ON h.order_id = o.order_id AND h.version = o.version
 WHERE o.order_id = $1
"""  # noqa: S608


class OwedCall(Struct, frozen=True):
    """An order's row, since when its intent is owed, how often it was tried, and when a loop looks at it next."""

    row: FoundOrder
    intent_at: datetime | None
    attempts: int
    due_at: datetime | None


async def get_order(db: Db, order_id: UUID) -> OwedCall | None:
    """Return the order of any device, None if there is none."""
    row = await db.row(GET_ROW, order_id)
    return OwedCall(_found(row), row["intent_at"], row["attempts"], row["due_at"]) if row is not None else None


LIST_HISTORY = """
-- ops.list_history
SELECT version, from_status, to_status, cause, at, epoch, sequence FROM order_history
 WHERE order_id = $1 ORDER BY version
"""


async def list_history(db: Db, order_id: UUID) -> Sequence[Row]:
    """Return an order's history with the numbers of its metrics."""
    return await db.rows(LIST_HISTORY, order_id)


LIST_WEBHOOKS = """
-- ops.list_webhooks
SELECT webhook_id, received_at FROM webhook_inbox WHERE order_id = $1 ORDER BY received_at LIMIT 100
"""


async def list_webhooks(db: Db, order_id: UUID) -> Sequence[Row]:
    """Return the deliveries that were taken in, oldest first, at most 100."""
    return await db.rows(LIST_WEBHOOKS, order_id)


LIST_MESSAGES = """
-- ops.list_messages
SELECT 'receipt' AS event, created_at, attempts, next_attempt_at, done_at, dead_at, last_error
  FROM receipt_outbox WHERE order_id = $1
UNION ALL
SELECT event, created_at, attempts, next_attempt_at, done_at, dead_at, last_error
  FROM alert_outbox WHERE order_id = $1
"""


async def list_messages(db: Db, order_id: UUID) -> Sequence[Row]:
    """Return the receipt (event `receipt`) and the alerts of an order."""
    return await db.rows(LIST_MESSAGES, order_id)


def _found(row: Row) -> FoundOrder:
    return FoundOrder(*(row[name] for name in FoundOrder.__struct_fields__))
