"""Holds: stock promised to an order until an expiry.

Stock rows are locked in SKU order, before any register row is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.stock import Line, LineAvailability, ReserveResult, ShortageError, StaleStockError
from autogrocery.kit.pg.batch import BatchStatement, text_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, DbConnection, Row

LARGEST_INT32 = (1 << 31) - 1
LAPSE_BATCH = 100

# Holds stock for a batch of new orders, in the order of the calls. Each order gets all its lines, or, with
# `may_be_partial`, what is available of them, or nothing.
# - `lines` locks the stock of the whole batch by SKU and reads each row after waiting for its lock, so that two orders
#   never get the same last unit. The clock is read once the rows are locked.
# - `queued`: an order fits if stock suffices for it and for all that the earlier orders requested, granted or not.
# - `outcomes` compares with what was granted: an order that did not fit, but would have fitted behind the granted ones
#   alone, is `undecided`, has no row in the result, and is tried alone.
# - Result: one row an order with its expiry, if granted; and one row a line of a refused or partial order with the
#   available units. A SKU without a row is unknown. A `stale` SKU has expired or recalled units on hand: its lots must
#   be written off before any of it is held.
HOLD_MANY = """-- stock.holds
WITH calls AS (
  SELECT order_id, skus::text[] AS skus, quantities::int[] AS quantities, may_be_partial, hold_s, turn
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::int[])
         WITH ORDINALITY AS a (order_id, skus, quantities, may_be_partial, hold_s, turn)),
lines AS MATERIALIZED (
  SELECT a.*, s.sku, s.aisle_type, s.on_hand, s.sellable_until, l.quantity AS requested,
         CASE WHEN a.may_be_partial THEN least(l.quantity, s.on_hand)::int ELSE l.quantity END AS quantity
    FROM calls a CROSS JOIN LATERAL unnest(a.skus, a.quantities) AS l (sku, quantity)
    JOIN inventory.stock s ON s.sku = l.sku
   ORDER BY s.sku, a.turn FOR NO KEY UPDATE OF s),
queued AS MATERIALIZED (
  SELECT *, quantity = 0 OR sum(quantity) OVER (PARTITION BY sku ORDER BY turn) <= on_hand AS fits,
         on_hand > 0 AND sellable_until <= clock_timestamp() AS stale FROM lines),
granted AS (
  SELECT order_id, hold_s, skus, quantities,
         array_agg(sku ORDER BY sku) FILTER (WHERE quantity > 0) AS granted_skus,
         array_agg(quantity ORDER BY sku) FILTER (WHERE quantity > 0) AS granted_quantities
    FROM queued GROUP BY order_id, hold_s, skus, quantities
  HAVING count(*) = cardinality(skus) AND bool_and(fits AND NOT stale) AND sum(quantity) > 0),
registered AS (
  INSERT INTO inventory.orders (order_id, state, expires_at, requested_digest, granted_digest)
  SELECT order_id, 'HELD', clock_timestamp() + hold_s * interval '1 second',
         inventory.digest(skus, quantities), inventory.digest(granted_skus, granted_quantities)
    FROM granted ORDER BY order_id
  ON CONFLICT (order_id) DO NOTHING RETURNING order_id, expires_at),
decided AS MATERIALIZED (
  SELECT *, (order_id IN (SELECT order_id FROM registered)) IS TRUE AS held FROM queued),
lined AS (
  INSERT INTO inventory.order_lines (order_id, sku, aisle_type, quantity)
  SELECT order_id, sku, aisle_type, quantity FROM decided WHERE held AND quantity > 0 ORDER BY order_id),
taken AS (
  UPDATE inventory.stock s SET on_hand = s.on_hand - t.quantity, held = s.held + t.quantity
    FROM (SELECT sku, sum(quantity) AS quantity FROM decided WHERE held AND quantity > 0 GROUP BY sku) t
   WHERE s.sku = t.sku),
seen AS (
  SELECT *, on_hand - coalesce(sum(quantity) FILTER (WHERE held) OVER (
              PARTITION BY sku ORDER BY turn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS available
    FROM decided),
outcomes AS (
  SELECT *, count(*) OVER (PARTITION BY order_id) = cardinality(skus)
            AND NOT bool_and(fits) OVER (PARTITION BY order_id)
            AND CASE WHEN may_be_partial THEN bool_or(available > 0) OVER (PARTITION BY order_id)
                     ELSE bool_and(available >= requested) OVER (PARTITION BY order_id) END AS undecided
    FROM seen)
SELECT order_id, expires_at, NULL AS sku, NULL::bigint AS available, NULL::int AS quantity, false AS stale
  FROM registered
UNION ALL
SELECT order_id, NULL, sku, available, quantity, stale FROM outcomes
 WHERE CASE WHEN held THEN may_be_partial ELSE NOT undecided END
"""
HOLD = BatchStatement(HOLD_MANY, (5,), alone=HOLD_MANY)

# Holds stock for one order whose register row is locked: $2 SKUs, $3 quantities, $4 whether a part will do, $5
# seconds, $6 whether the digest of the original request is kept. Nothing is written unless every line can be granted.
HOLD_AGAIN = """-- stock.hold_again
WITH requested_lines AS (
  SELECT sku, quantity FROM unnest($2::text[], $3::int[]) AS a (sku, quantity)),
locked AS (
  SELECT sku, aisle_type, on_hand, sellable_until FROM inventory.stock
   WHERE sku = ANY ($2::text[]) ORDER BY sku FOR NO KEY UPDATE),
found AS MATERIALIZED (
  SELECT a.sku, a.quantity AS requested, l.on_hand AS available, l.aisle_type,
         l.on_hand > 0 AND l.sellable_until <= clock_timestamp() AS stale,
         CASE WHEN $4::bool THEN least(a.quantity, l.on_hand)::int ELSE a.quantity END AS quantity
    FROM requested_lines a LEFT JOIN locked l ON l.sku = a.sku),
granted AS (
  SELECT array_agg(sku ORDER BY sku) AS skus, array_agg(quantity ORDER BY sku) AS quantities
    FROM found WHERE quantity > 0
  HAVING count(*) > 0
     AND (SELECT bool_and(available IS NOT NULL AND NOT stale AND ($4 OR available >= requested)) FROM found)),
registered AS (
  UPDATE inventory.orders o
     SET state = 'HELD', expires_at = clock_timestamp() + $5::int * interval '1 second',
         requested_digest = CASE WHEN $6::bool THEN requested_digest ELSE inventory.digest($2::text[], $3::int[]) END,
         granted_digest = inventory.digest(g.skus, g.quantities)
    FROM granted g WHERE o.order_id = $1 AND o.state IN ('HELD', 'LAPSED') RETURNING o.expires_at),
lined AS (
  INSERT INTO inventory.order_lines (order_id, sku, aisle_type, quantity)
  SELECT $1, f.sku, f.aisle_type, f.quantity FROM found f, registered WHERE f.quantity > 0),
taken AS (
  UPDATE inventory.stock s SET on_hand = s.on_hand - f.quantity, held = s.held + f.quantity
    FROM found f, registered WHERE s.sku = f.sku AND f.quantity > 0)
SELECT f.sku, f.available, f.quantity, f.stale, r.expires_at FROM found f LEFT JOIN registered r ON true ORDER BY f.sku
"""


async def hold(
    db: Db | DbConnection, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> ReserveResult | None:
    """Hold stock for a new order; None if the order is already in the register.

    Concurrent calls share one statement, with the results of sequential ones. Raises ShortageError, or StaleStockError:
    write off the lots and try again.
    """
    values = (order_id, *array_literals(lines), allow_partial, hold_s)
    rows = await db.run_batched(HOLD, "stock.hold", values)
    expires_at = next((row["expires_at"] for row in rows if row["expires_at"] is not None), None)
    if expires_at is not None and not allow_partial:
        return ReserveResult(tuple(lines), expires_at)
    shelf = {row["sku"]: row for row in rows if row["sku"] is not None}
    return _held(lines, shelf, expires_at, allow_partial=allow_partial)


async def hold_again(
    tx: DbConnection, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool, keep_request: bool
) -> ReserveResult:
    """Hold stock for an order whose row is locked and whose lines are removed.

    With `keep_request`, these lines are what an earlier, larger request was granted. Raises ShortageError or
    StaleStockError: the transaction must be rolled back.
    """
    rows = await tx.rows(HOLD_AGAIN, order_id, *columns(lines), allow_partial, hold_s, keep_request)
    shelf = {row["sku"]: row for row in rows if row["available"] is not None}
    held = _held(lines, shelf, rows[0]["expires_at"], allow_partial=allow_partial)
    if held is None:
        raise LookupError("the register row was not locked")
    return held


def _held(
    lines: Sequence[Line], shelf: Mapping[str, Row], expires_at: datetime | None, *, allow_partial: bool
) -> ReserveResult | None:
    """Return the granted lines; None if all lines could be granted but the order was registered already.

    Raises StaleStockError or ShortageError for stock that is stale or short. `shelf` has a row for each known SKU.
    """
    if expires_at is not None:
        granted = tuple(Line(line.sku, shelf[line.sku]["quantity"]) for line in lines)
        return ReserveResult(tuple(line for line in granted if line.quantity > 0), expires_at)
    if stale := tuple(sku for sku, row in shelf.items() if row["stale"]):
        raise StaleStockError(stale)
    found = tuple(_found(line, shelf.get(line.sku), allow_partial=allow_partial) for line in lines)
    if any(line.available is None or line.available < line.quantity for line in found):
        raise ShortageError(found)
    if not any(line.quantity for line in found):
        raise ShortageError(found)
    return None


def _found(line: Line, row: Row | None, *, allow_partial: bool) -> LineAvailability:
    if row is None:
        return LineAvailability(line.sku, line.quantity, None, 0)
    list_available = min(row["available"], LARGEST_INT32)
    return LineAvailability(
        line.sku, line.quantity, list_available, min(line.quantity, list_available) if allow_partial else line.quantity
    )


# Moves the expiry of a hold to a later moment, never to an earlier one.
RENEW = """-- stock.renew
UPDATE inventory.orders SET expires_at = greatest(expires_at, clock_timestamp() + $2::int * interval '1 second')
 WHERE order_id = $1 AND state = 'HELD' RETURNING expires_at
"""


async def renew(tx: DbConnection, order_id: UUID, hold_s: int) -> datetime:
    """Keep a hold for at least `hold_s` seconds from now; return its expiry."""
    row = await tx.row(RENEW, order_id, hold_s)
    if row is None:
        raise LookupError("the hold was not locked")
    expires_at: datetime = row["expires_at"]
    return expires_at


# Locks the stock of an order's present lines and of other SKUs, in one order.
LOCK = """-- stock.lock
SELECT sku FROM inventory.stock
 WHERE sku = ANY ($2::text[]) OR sku = ANY (ARRAY (SELECT sku FROM inventory.order_lines WHERE order_id = $1))
 ORDER BY sku FOR NO KEY UPDATE
"""
# Removes the lines of an order; with $2, their held units become free.
CLEAR = """-- stock.clear
WITH gone AS (DELETE FROM inventory.order_lines WHERE order_id = $1 RETURNING sku, quantity)
UPDATE inventory.stock s SET held = s.held - gone.quantity, on_hand = s.on_hand + gone.quantity
  FROM gone WHERE s.sku = gone.sku AND $2::bool
"""


async def remove_lines(tx: DbConnection, order_id: UUID, lines: Sequence[Line], *, held: bool) -> None:
    """Remove the lines of a locked order and free their stock if `held`.

    Locks the stock of the old lines and of the new `lines` together, in SKU order.
    """
    await tx.rows(LOCK, order_id, [line.sku for line in lines])
    await tx.run(CLEAR, order_id, held)


# Frees the stock that an order holds, or that is allocated to it, withdraws its open assignments, and sets the order to
# RELEASED: later calls for it find that tombstone. {column} is `held` or `allocated`.
RELEASE = """-- stock.give_back_{column}
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
RELEASE_HELD = RELEASE.format(column="held")
RELEASE_ALLOCATED = RELEASE.format(column="allocated")


async def release(tx: DbConnection, order_id: UUID, *, allocated: bool) -> None:
    """Free the stock of a locked order, withdraw its assignments and leave a tombstone."""
    await tx.run(RELEASE_ALLOCATED if allocated else RELEASE_HELD, order_id)


# Frees the stock of at most $1 expired holds, of any SKU or of the SKUs $2. An order whose lines were changed while
# this statement waited has a later expiry too, so the row lock drops it from `due`.
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
    """Free the stock of at most LAPSE_BATCH expired holds, of any SKU or of `skus`; return how many holds."""
    return await db.run(LAPSE, LAPSE_BATCH, None if skus is None else list(skus))


# Free units by SKU. For a SKU with expired or recalled units on hand: what would be on hand if its lots were written
# off now.
AVAILABLE = """-- stock.available
SELECT sku, least(CASE WHEN sellable_until > clock_timestamp() THEN on_hand ELSE greatest(on_hand - (
         SELECT coalesce(sum(l.remaining - l.took), 0) FROM inventory.lot_shares l
          WHERE l.sku = s.sku AND (NOT l.on_sale OR l.expiry_at <= clock_timestamp())), 0) END,
         2147483647)::int AS available
  FROM inventory.stock s WHERE sku = ANY ($1::text[]) ORDER BY sku
"""


async def list_available(db: Db, skus: Sequence[str]) -> list[Line]:
    """Return the free units of each known SKU, sorted by SKU."""
    return [Line(row["sku"], row["available"]) for row in await db.rows(AVAILABLE, list(skus))]


def columns(lines: Sequence[Line]) -> tuple[list[str], list[int]]:
    """Return SKUs and quantities as two lists."""
    return [line.sku for line in lines], [line.quantity for line in lines]


def array_literals(lines: Sequence[Line]) -> tuple[str, str]:
    """Return SKUs and quantities as two PostgreSQL array literals, because a batch passes an array of them."""
    return text_array(line.sku for line in lines), "{" + ",".join(str(line.quantity) for line in lines) + "}"
