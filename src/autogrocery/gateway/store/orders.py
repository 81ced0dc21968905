"""Orders as rows: read one, read a page, add one. How a row changes later is in transitions.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Intent, Line, Order, Outcome, Robot, Status
from autogrocery.gateway.store.order_store import now_s
from autogrocery.gateway.store.writes import NewOrder, write
from autogrocery.kit.pg.batch import BatchStatement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.gateway.core.status_change import MetricNumber
    from autogrocery.gateway.store.order_store import OrderStore
    from autogrocery.kit.pg.db import Db, Row


COLUMNS = """
o.order_id, o.user_id, o.status, o.version, o.currency, o.quoted_total_cents, o.total_cents, o.created_at, o.expires_at,
o.expires_at <= now() AS overdue, o.intent, o.release_as, o.release_cause, o.robots, o.outcome, o.confirmed_at,
o.dispatched_at, o.finished_at, o.request_sha256
"""
LINES = """
SELECT array_agg(l.sku ORDER BY l.line_no) AS skus, array_agg(l.name ORDER BY l.line_no) AS names,
       array_agg(l.quantity ORDER BY l.line_no) AS quantities, array_agg(l.requested ORDER BY l.line_no) AS requested,
       array_agg(l.unit_price_cents ORDER BY l.line_no) AS prices,
       array_agg(CASE WHEN o.status = 'COMPLETED' THEN coalesce(s.picked, l.quantity)
                      WHEN o.status = 'FAILED' THEN 0 END
                 ORDER BY l.line_no) AS picked
  FROM order_lines l LEFT JOIN short_picks s USING (order_id, line_no) WHERE l.order_id = o.order_id
"""

READ = f"""
-- orders.read
SELECT {COLUMNS}, lines.*
  FROM unnest($1::uuid[], $2::int[]) AS a (order_id, user_id)
  JOIN grocery_orders o ON o.order_id = a.order_id AND (a.user_id IS NULL OR o.user_id = a.user_id),
       LATERAL ({LINES}) lines
"""  # noqa: S608 - made of the constants above
READ_BATCH = BatchStatement(READ, (2,))


async def get(db: Db, order_id: UUID) -> Order | None:
    """Return the order, of any device."""
    found = await db.run_batched(READ_BATCH, "orders.get", (order_id, None))
    return _order(found[0]) if found else None


async def get_of_device(db: Db, order_id: UUID, user_id: int) -> Order | None:
    """Return the order if it belongs to the device; None also for another device's."""
    found = await db.run_batched(READ_BATCH, "orders.get_of_device", (order_id, user_id))
    return _order(found[0]) if found else None


class PagePosition(NamedTuple):
    """The last order of a page: the next page has the orders before it in (created_at, order_id)."""

    created_at: datetime
    order_id: UUID


LIST_OF_DEVICE = f"""
-- orders.list_of_device
SELECT {COLUMNS}, lines.* FROM (
  SELECT * FROM grocery_orders
   WHERE user_id = $1 AND ($2::text IS NULL OR status = $2)
     AND ($3::timestamptz IS NULL OR (created_at, order_id) < ($3, $4::uuid))
   ORDER BY created_at DESC, order_id DESC LIMIT $5) o, LATERAL ({LINES}) lines
 ORDER BY o.created_at DESC, o.order_id DESC
"""  # noqa: S608


async def list_of_device(
    db: Db, user_id: int, *, status: Status | None, before: PagePosition | None, limit: int
) -> list[Order]:
    """Return up to `limit` orders, newest first, older than the position `before`."""
    at, order_id = before or (None, None)
    return [_order(row) for row in await db.rows(LIST_OF_DEVICE, user_id, status, at, order_id, limit)]


LIST_HOLDING = """
-- orders.list_holding
SELECT o.order_id FROM grocery_orders o
 WHERE o.user_id = $1 AND o.status = 'PREVIEWED' AND o.intent IS DISTINCT FROM 'DISPATCH' AND o.order_id <> $2
   AND EXISTS (SELECT FROM order_lines l WHERE l.order_id = o.order_id AND l.sku = ANY($3))
 ORDER BY o.created_at LIMIT 10
"""


async def list_holding(db: Db, user_id: int, other_than: UUID, skus: Sequence[str]) -> list[UUID]:
    """Return the device's previews, idle or being released, that hold one of `skus`: oldest first, at most ten."""
    return [row["order_id"] for row in await db.rows(LIST_HOLDING, user_id, other_than, list(skus))]


# OFFSET takes no column, so it takes the first item's `keep`: the quota is the same for every device.
LIST_IDLE_BEYOND = """
-- orders.list_idle_beyond
SELECT a.user_id, idle.order_id
  FROM unnest($1::int[], $2::int[]) AS a (user_id, keep),
       LATERAL (SELECT order_id FROM grocery_orders
                 WHERE user_id = a.user_id AND status = 'PREVIEWED' AND intent IS NULL
                   AND created_at > now() - interval '1 day'
                 ORDER BY created_at DESC OFFSET ($2::int[])[1] LIMIT 10) idle
"""
IDLE_BEYOND_BATCH = BatchStatement(LIST_IDLE_BEYOND, (2,))


async def list_idle_beyond(db: Db, user_id: int, keep: int) -> list[UUID]:
    """Return the device's idle previews other than its newest `keep`, at most ten."""
    found = await db.run_batched(IDLE_BEYOND_BATCH, "orders.list_idle_beyond", (user_id, keep))
    return [row["order_id"] for row in found]


async def add(
    store: OrderStore,
    order_id: UUID,
    user_id: int,
    currency: str,
    lines: Sequence[Line],
    *,
    sha256: bytes,
    ttl_s: float,
    number: MetricNumber,
) -> Order | None:
    """Write a new PREVIEWED order with its lines and its history; None if that id is taken."""
    total_cents = sum(line.total_cents for line in lines)
    valid_until_s = now_s() + ttl_s
    new = NewOrder(order_id, user_id, currency, lines, total_cents, sha256, ttl_s, number)
    rows = await write(store.db, "orders.add", new)
    if not rows:
        return None
    row = rows[0]
    order = Order(
        order_id,
        user_id,
        Status.PREVIEWED,
        1,
        currency,
        total_cents,
        total_cents,
        tuple(lines),
        row["at"],
        row["expires_at"],
        request_sha256=sha256,
    )
    store.cache.put(order, valid_until_s)
    return order


class OrderEvent(Struct, frozen=True):
    """One status change of an order."""

    version: int
    from_status: Status | None
    to_status: Status
    cause: Cause
    at: datetime


LIST_EVENTS = """
-- orders.list_events
SELECT version, from_status, to_status, cause, at FROM order_history
 WHERE order_id = $1 AND version > $2 ORDER BY version
"""


async def list_events(db: Db, order_id: UUID, after: int = 0) -> list[OrderEvent]:
    """Return the order's history from version `after` + 1 on."""
    return [
        OrderEvent(
            row["version"],
            Status(row["from_status"]) if row["from_status"] else None,
            Status(row["to_status"]),
            Cause(row["cause"]),
            row["at"],
        )
        for row in await db.rows(LIST_EVENTS, order_id, after)
    ]


def _order(row: Row) -> Order:
    return Order(
        order_id=row["order_id"],
        user_id=row["user_id"],
        status=Status(row["status"]),
        version=row["version"],
        currency=row["currency"],
        quoted_total_cents=row["quoted_total_cents"],
        total_cents=row["total_cents"],
        lines=tuple(
            Line(*line)
            for line in zip(
                row["skus"] or (),
                row["names"] or (),
                row["quantities"] or (),
                row["requested"] or (),
                row["prices"] or (),
                row["picked"] or (),
                strict=True,
            )
        ),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        overdue=row["overdue"],
        intent=Intent(row["intent"]) if row["intent"] else None,
        release_as=Status(row["release_as"]) if row["release_as"] else None,
        release_cause=Cause(row["release_cause"]) if row["release_cause"] else None,
        robots=msgspec.json.decode(row["robots"], type=tuple[Robot, ...]) if row["robots"] else None,
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        confirmed_at=row["confirmed_at"],
        dispatched_at=row["dispatched_at"],
        finished_at=row["finished_at"],
        request_sha256=row["request_sha256"],
    )
