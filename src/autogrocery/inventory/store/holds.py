"""Stock that is promised until an expiry, or given back. Stock rows are locked in SKU order, before any register write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.stock import Found, Line, Reserved, ShortError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg import Db, Row, Statements

LARGEST_INT32 = (1 << 31) - 1
LAPSE_BATCH = 100

# Takes all lines, or with $4 what there is of them, in one statement; nothing is written unless something is granted.
# `locked` reads the newest version of each row after waiting for it, so that two buyers never see the same last unit.
TAKE = """
WITH asked AS (
  SELECT sku, quantity FROM unnest($2::text[], $3::int[]) AS a (sku, quantity)),
locked AS (
  SELECT sku, aisle_type, on_hand FROM inventory.stock
   WHERE sku = ANY ($2::text[]) ORDER BY sku FOR NO KEY UPDATE),
found AS MATERIALIZED (
  SELECT a.sku, a.quantity AS requested, l.on_hand AS available, l.aisle_type,
         CASE WHEN $4::bool THEN least(a.quantity, l.on_hand)::int ELSE a.quantity END AS quantity
    FROM asked a LEFT JOIN locked l ON l.sku = a.sku),
granted AS (
  SELECT array_agg(sku ORDER BY sku) AS skus, array_agg(quantity ORDER BY sku) AS quantities
    FROM found WHERE quantity > 0
  HAVING count(*) > 0 AND (SELECT bool_and(available IS NOT NULL AND ($4 OR available >= requested)) FROM found)),
registered AS ({register}),
lined AS (
  INSERT INTO inventory.order_lines (order_id, sku, aisle_type, quantity)
  SELECT $1, f.sku, f.aisle_type, f.quantity FROM found f, registered WHERE f.quantity > 0),
taken AS (
  UPDATE inventory.stock s SET on_hand = s.on_hand - f.quantity, held = s.held + f.quantity
    FROM found f, registered WHERE s.sku = f.sku AND f.quantity > 0)
SELECT f.sku, f.requested, f.available, f.quantity, r.expires_at FROM found f LEFT JOIN registered r ON true ORDER BY f.sku
"""
HOLD = "-- stock.hold" + TAKE.format(  # noqa: S608 - our own text, completed once
    register="""
  INSERT INTO inventory.orders (order_id, state, expires_at, requested_digest, granted_digest)
  SELECT $1, 'HELD', clock_timestamp() + $5::int * interval '1 second',
         inventory.digest($2::text[], $3::int[]), inventory.digest(g.skus, g.quantities) FROM granted g
  ON CONFLICT (order_id) DO NOTHING RETURNING expires_at"""
)
HOLD_AGAIN = "-- stock.hold_again" + TAKE.format(  # noqa: S608
    register="""
  UPDATE inventory.orders o
     SET state = 'HELD', expires_at = clock_timestamp() + $5::int * interval '1 second',
         requested_digest = CASE WHEN $6::bool THEN requested_digest ELSE inventory.digest($2::text[], $3::int[]) END,
         granted_digest = inventory.digest(g.skus, g.quantities)
    FROM granted g WHERE o.order_id = $1 AND o.state IN ('HELD', 'LAPSED') RETURNING o.expires_at"""
)


async def hold(
    db: Db | Statements, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> Reserved | None:
    """Hold stock for an order that is new here; None if it is not new. Raises ShortError."""
    rows = await db.rows(HOLD, order_id, *columns(lines), allow_partial, hold_s)
    return _held(rows)


async def hold_again(
    tx: Statements, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool, keep_request: bool
) -> Reserved:
    """Hold stock for an order whose row is locked and whose lines are removed. Raises ShortError: roll back.

    `keep_request` says that these lines are what an earlier, larger request was granted.
    """
    rows = await tx.rows(HOLD_AGAIN, order_id, *columns(lines), allow_partial, hold_s, keep_request)
    held = _held(rows)
    if held is None:
        raise LookupError("the register row was not locked")
    return held


def _held(rows: Sequence[Row]) -> Reserved | None:
    found = tuple(
        Found(
            row["sku"],
            row["requested"],
            None if row["available"] is None else min(row["available"], LARGEST_INT32),
            row["quantity"],
        )
        for row in rows
    )
    expires_at: datetime | None = rows[0]["expires_at"]
    if expires_at is not None:
        return Reserved(tuple(Line(line.sku, line.quantity) for line in found if line.quantity > 0), expires_at)
    if any(line.available is None for line in found) or not any(line.quantity for line in found):
        raise ShortError(found)
    if any((line.available or 0) < line.quantity for line in found):
        raise ShortError(found)
    return None


RENEW = """-- stock.renew
UPDATE inventory.orders SET expires_at = greatest(expires_at, clock_timestamp() + $2::int * interval '1 second')
 WHERE order_id = $1 AND state = 'HELD' RETURNING expires_at
"""


async def renew(tx: Statements, order_id: UUID, hold_s: int) -> datetime:
    """Let a hold live at least `hold_s` seconds from now on."""
    row = await tx.row(RENEW, order_id, hold_s)
    if row is None:
        raise LookupError("the hold was not locked")
    expires_at: datetime = row["expires_at"]
    return expires_at


LOCK = """-- stock.lock
SELECT sku FROM inventory.stock
 WHERE sku = ANY ($2::text[]) OR sku = ANY (ARRAY (SELECT sku FROM inventory.order_lines WHERE order_id = $1))
 ORDER BY sku FOR NO KEY UPDATE
"""
CLEAR = """-- stock.clear
WITH gone AS (DELETE FROM inventory.order_lines WHERE order_id = $1 RETURNING sku, quantity)
UPDATE inventory.stock s SET held = s.held - gone.quantity, on_hand = s.on_hand + gone.quantity
  FROM gone WHERE s.sku = gone.sku AND $2::bool
"""


async def clear(tx: Statements, order_id: UUID, lines: Sequence[Line], *, held: bool) -> None:
    """Remove the lines of a locked order, giving back what is `held`; locks the stock of old and new lines in one order."""
    await tx.rows(LOCK, order_id, [line.sku for line in lines])
    await tx.run(CLEAR, order_id, held)


# Gives back what an order holds ('held') or what was allocated to it, and buries it: a later call finds a tombstone.
GIVE_BACK = """-- stock.give_back_{column}
WITH lines AS MATERIALIZED (
  SELECT sku, quantity FROM inventory.order_lines WHERE order_id = $1),
locked AS (
  SELECT sku FROM inventory.stock WHERE sku = ANY (ARRAY (SELECT sku FROM lines)) ORDER BY sku FOR NO KEY UPDATE),
buried AS (
  UPDATE inventory.orders SET state = 'RELEASED', expires_at = NULL, unfinished = 0
   WHERE order_id = $1 AND (SELECT count(*) FROM locked) > 0),
withdrawn AS (
  UPDATE inventory.assignments SET state = 'WITHDRAWN', closed_at = now() WHERE order_id = $1 AND state = 'OPEN')
UPDATE inventory.stock s SET {column} = s.{column} - l.quantity, on_hand = s.on_hand + l.quantity
  FROM lines l WHERE s.sku = l.sku AND (SELECT count(*) FROM locked) > 0
"""
GIVE_BACK_HELD = GIVE_BACK.format(column="held")
GIVE_BACK_ALLOCATED = GIVE_BACK.format(column="allocated")


async def give_back(tx: Statements, order_id: UUID, *, allocated: bool) -> None:
    """Return the stock of a locked order to the shelf, withdraw its assignments and leave a tombstone."""
    await tx.run(GIVE_BACK_ALLOCATED if allocated else GIVE_BACK_HELD, order_id)


# A due order whose lines were changed meanwhile has a later expiry too, and then FOR UPDATE drops it.
LAPSE = """-- stock.lapse
WITH due AS MATERIALIZED (
  SELECT order_id FROM inventory.orders o
   WHERE state = 'HELD' AND expires_at <= now()
     AND ($2::text[] IS NULL
          OR EXISTS (SELECT FROM inventory.order_lines l WHERE l.order_id = o.order_id AND l.sku = ANY ($2::text[])))
   ORDER BY expires_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED),
lines AS MATERIALIZED (
  SELECT l.sku, sum(l.quantity) AS quantity FROM inventory.order_lines l JOIN due USING (order_id) GROUP BY l.sku),
locked AS (
  SELECT sku FROM inventory.stock WHERE sku = ANY (ARRAY (SELECT sku FROM lines)) ORDER BY sku FOR NO KEY UPDATE),
returned AS (
  UPDATE inventory.stock s SET held = s.held - l.quantity, on_hand = s.on_hand + l.quantity
    FROM lines l WHERE s.sku = l.sku AND (SELECT count(*) FROM locked) > 0)
UPDATE inventory.orders o SET state = 'LAPSED', expires_at = NULL
  FROM due WHERE o.order_id = due.order_id AND (SELECT count(*) FROM locked) > 0
"""


async def lapse(db: Db, skus: Sequence[str] | None = None) -> int:
    """Give back the stock of at most LAPSE_BATCH holds that are past their expiry, of any SKU or of these; how many."""
    return await db.run(LAPSE, LAPSE_BATCH, None if skus is None else list(skus))


AVAILABLE = """-- stock.available
SELECT sku, least(on_hand, 2147483647) AS available FROM inventory.stock WHERE sku = ANY ($1::text[]) ORDER BY sku
"""


async def available(db: Db, skus: Sequence[str]) -> list[Line]:
    """Return what is free to sell of each known SKU."""
    return [Line(row["sku"], row["available"]) for row in await db.rows(AVAILABLE, list(skus))]


def columns(lines: Sequence[Line]) -> tuple[list[str], list[int]]:
    """Return SKUs and quantities as two arrays."""
    return [line.sku for line in lines], [line.quantity for line in lines]
