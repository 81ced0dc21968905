"""Lots on the shelf and their write-off. Lots are written only under the lock of their SKU's stock row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from autogrocery.kit.pg.db import Db, DbConnection, Row

DUE_BATCH = 100

# SKUs with units on hand past the moment until which they may be sold, the most overdue first.
DUE = """-- lots.due
SELECT sku FROM inventory.stock
 WHERE sellable_until <= now() AND sellable_until < 'infinity' AND on_hand > 0 ORDER BY sellable_until LIMIT $1
"""


async def list_due(db: Db) -> tuple[str, ...]:
    """Return at most DUE_BATCH SKUs with units on hand that may no longer be sold, most overdue first."""
    return tuple(row["sku"] for row in await db.rows(DUE, DUE_BATCH))


# Locks stock rows in SKU order.
LOCK = """-- lots.lock
SELECT sku FROM inventory.stock WHERE sku = ANY ($1::text[]) ORDER BY sku FOR NO KEY UPDATE
"""


async def lock(tx: DbConnection, skus: Sequence[str]) -> None:
    """Lock the stock rows of some SKUs, and with them their lots."""
    await tx.rows(LOCK, list(skus))


# Records draws and writes off lots of the SKUs $1. `drawn`: the lots of the units drawn since the last run are
# recorded, the earliest expiry first. `leaving`: expired and recalled lots leave the shelf, up to the number of free
# units, and are entered in the ledger. Promised units are served from the other lots; units that those do not cover
# stay on the shelf, unsellable, until the orders they are promised to have ended.
WRITE_OFF = """-- lots.settle
WITH shares AS MATERIALIZED (
  SELECT *, remaining - took AS units, on_sale AND expiry_at > clock_timestamp() AS stays
    FROM inventory.lot_shares WHERE sku = ANY ($1::text[])),
drawn AS (
  INSERT INTO inventory.lot_draws (sku, drawn_from, drawn_until, lot)
  SELECT sku, drawn_from, drawn_from + took, lot FROM shares WHERE took > 0),
leaving AS MATERIALIZED (
  SELECT h.sku, h.lot, h.units, h.recalled, greatest(least(h.units, s.on_hand - h.before), 0) AS leaves
    FROM (SELECT *, coalesce(sum(units) OVER (PARTITION BY sku ORDER BY expiry_at, received_at, lot
                                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS before
            FROM shares WHERE NOT stays) h
    JOIN inventory.stock s ON s.sku = h.sku),
entered AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta, lot)
  SELECT sku, gen_random_uuid(), CASE WHEN recalled THEN 'recall' ELSE 'expired' END, -leaves, lot
    FROM leaving WHERE leaves > 0),
counted AS (
  UPDATE inventory.lots t
     SET remaining = h.units - coalesce(g.leaves, 0),
         expired_at = CASE WHEN h.stays OR h.recalled THEN t.expired_at ELSE coalesce(t.expired_at, now()) END
    FROM shares h LEFT JOIN leaving g ON g.sku = h.sku AND g.lot = h.lot
   WHERE t.sku = h.sku AND t.lot = h.lot AND (h.took > 0 OR NOT h.stays)),
shelved AS (
  UPDATE inventory.stock s
     SET settled = s.drawn, on_hand = s.on_hand - coalesce(g.leaves, 0),
         sellable_until = CASE WHEN g.kept > 0 THEN '-infinity' ELSE coalesce(h.next_expiry, 'infinity') END
    FROM unnest($1::text[]) AS a (sku)
    LEFT JOIN (SELECT sku, sum(leaves) AS leaves, sum(units - leaves) AS kept FROM leaving GROUP BY sku) g
      ON g.sku = a.sku
    LEFT JOIN (SELECT sku, min(expiry_at) AS next_expiry FROM shares WHERE stays AND units > 0 GROUP BY sku) h
      ON h.sku = a.sku
   WHERE s.sku = a.sku)
SELECT sku, lot, recalled, leaves FROM leaving WHERE leaves > 0
"""


class LotRemoval(Struct, frozen=True):
    """Units of a lot that were written off because it expired or was `recalled`."""

    sku: str
    lot: str
    recalled: bool
    units: int


async def write_off(tx: DbConnection, skus: Sequence[str]) -> tuple[LotRemoval, ...]:
    """Record draws from the lots of SKUs whose stock is locked; write off and return expired and recalled units."""
    rows = await tx.rows(WRITE_OFF, list(skus))
    return tuple(LotRemoval(row["sku"], row["lot"], row["recalled"], row["leaves"]) for row in rows)


async def lock_and_write_off(db: Db, skus: Sequence[str]) -> tuple[LotRemoval, ...]:
    """Lock the stock of some SKUs and write off their lots, in one transaction; return what was removed."""
    async with db.transaction() as tx:
        await lock(tx, skus)
        return await write_off(tx, skus)


class Lot(Struct, frozen=True):
    """A lot: `on_shelf` counts its units there, promised or free; `expiry_at` is None if it never expires."""

    sku: str
    lot: str
    name: str
    expiry_at: datetime | None
    received: int
    on_shelf: int
    received_at: datetime
    expired: bool
    recalled_at: datetime | None


# Lots with units on the shelf, of one SKU ($1) or expiring within an interval ($2) if given, the earliest expiry first.
LIST = """-- lots.list
SELECT t.sku, t.lot, s.name, nullif(t.expiry_at, 'infinity') AS expiry_at, t.received, t.received_at, t.recalled_at,
       t.expired_at IS NOT NULL OR t.expiry_at <= now() AS expired, h.remaining - h.took AS on_shelf
  FROM inventory.lots t JOIN inventory.stock s ON s.sku = t.sku
  JOIN inventory.lot_shares h ON h.sku = t.sku AND h.lot = t.lot
 WHERE h.remaining > h.took AND ($1::text IS NULL OR t.sku = $1) AND ($2::interval IS NULL OR t.expiry_at <= now() + $2)
 ORDER BY t.expiry_at, t.sku, t.received_at LIMIT $3
"""


async def list_on_shelf(db: Db, *, sku: str | None, expiring_within: timedelta | None, limit: int) -> tuple[Lot, ...]:
    """Return lots with units on the shelf, the earliest expiry first; of one SKU or expiring soon, if given."""
    return tuple(read_lot(row) for row in await db.rows(LIST, sku, expiring_within, limit))


def read_lot(row: Row) -> Lot:
    """Convert a row to a lot."""
    return Lot(
        row["sku"],
        row["lot"],
        row["name"],
        row["expiry_at"],
        row["received"],
        row["on_shelf"],
        row["received_at"],
        row["expired"],
        row["recalled_at"],
    )
