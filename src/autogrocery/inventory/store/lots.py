"""Lots on the shelf: which have left it, and which must. Lots are written only under the lock of their SKU's stock row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from autogrocery.kit.pg.db import Db, Row, Statements

DUE_BATCH = 100

DUE = """-- lots.due
SELECT sku FROM inventory.stock
 WHERE sellable_until <= now() AND sellable_until < 'infinity' AND on_hand > 0 ORDER BY sellable_until LIMIT $1
"""


async def due(db: Db) -> tuple[str, ...]:
    """Return at most DUE_BATCH SKUs with units on hand that are sellable no longer, most overdue first."""
    return tuple(row["sku"] for row in await db.rows(DUE, DUE_BATCH))


LOCK = """-- lots.lock
SELECT sku FROM inventory.stock WHERE sku = ANY ($1::text[]) ORDER BY sku FOR NO KEY UPDATE
"""


async def lock(tx: Statements, skus: Sequence[str]) -> None:
    """Lock the stock of some SKUs, so that their lots stand still."""
    await tx.rows(LOCK, list(skus))


# First it is written down which lots the units came from that were drawn since the last time. Then lots whose expiry has
# come are off sale, and those off sale leave the shelf as far as free units reach: what is promised is taken from what is
# left of other lots, and what they do not cover stays, unsellable, until the orders it was promised to have ended.
SETTLE = """-- lots.settle
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
  SELECT sku, gen_random_uuid(), CASE WHEN recalled THEN 'recall' ELSE 'expired' END, -leaves, lot FROM leaving WHERE leaves > 0),
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
    LEFT JOIN (SELECT sku, sum(leaves) AS leaves, sum(units - leaves) AS kept FROM leaving GROUP BY sku) g ON g.sku = a.sku
    LEFT JOIN (SELECT sku, min(expiry_at) AS next_expiry FROM shares WHERE stays AND units > 0 GROUP BY sku) h ON h.sku = a.sku
   WHERE s.sku = a.sku)
SELECT sku, lot, recalled, leaves FROM leaving WHERE leaves > 0
"""


class Left(Struct, frozen=True):
    """Units of a lot that left the shelf, because it expired or was `recalled`."""

    sku: str
    lot: str
    recalled: bool
    units: int


async def settle(tx: Statements, skus: Sequence[str]) -> tuple[Left, ...]:
    """Write down what was drawn from the lots of SKUs whose stock is locked, and take from the shelf what is to be sold no longer."""
    rows = await tx.rows(SETTLE, list(skus))
    return tuple(Left(row["sku"], row["lot"], row["recalled"], row["leaves"]) for row in rows)


class Lot(Struct, frozen=True):
    """A lot as it stands: `on_shelf` counts its units there, promised or free; `expiry_at` is None if it never expires."""

    sku: str
    lot: str
    name: str
    expiry_at: datetime | None
    received: int
    on_shelf: int
    received_at: datetime
    expired: bool
    recalled_at: datetime | None


LIST = """-- lots.list
SELECT t.sku, t.lot, s.name, nullif(t.expiry_at, 'infinity') AS expiry_at, t.received, t.received_at, t.recalled_at,
       t.expired_at IS NOT NULL OR t.expiry_at <= now() AS expired, h.remaining - h.took AS on_shelf
  FROM inventory.lots t JOIN inventory.stock s ON s.sku = t.sku
  JOIN inventory.lot_shares h ON h.sku = t.sku AND h.lot = t.lot
 WHERE h.remaining > h.took AND ($1::text IS NULL OR t.sku = $1) AND ($2::interval IS NULL OR t.expiry_at <= now() + $2)
 ORDER BY t.expiry_at, t.sku, t.received_at LIMIT $3
"""


async def list_on_shelf(db: Db, *, sku: str | None, expiring_within: timedelta | None, limit: int) -> tuple[Lot, ...]:
    """Return lots of which units are on the shelf, those that expire first first; of one SKU, or expiring within a time."""
    return tuple(lot_of_row(row) for row in await db.rows(LIST, sku, expiring_within, limit))


def lot_of_row(row: Row) -> Lot:
    """Read a lot."""
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
