"""Deliveries: entered once, whoever sends them how often; put away or, if they stand there already, shelved at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.putaway import Count, RestockState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from autogrocery.inventory.core.delivery import Delivered
    from autogrocery.kit.pg.db import Db, Statements

ADD = """-- restocks.add
INSERT INTO inventory.restocks (order_id, supplier_id, content, state) VALUES ($1, $2, $3, $4)
ON CONFLICT (order_id) DO NOTHING
"""


async def add(tx: Statements, order_id: UUID, supplier_id: str, content: bytes, state: RestockState) -> bool:
    """Enter a delivery; False if one was entered under this id."""
    return await tx.run(ADD, order_id, supplier_id, content, state.value) == 1


# A product that stands in another aisle than this delivery says is neither changed nor returned. Stock rows are locked in the
# order of their SKUs: all of them for a delivery that will be shelved in this transaction, else only what is new or renamed.
LIST_LINES = """-- restocks.list_lines
WITH sent AS MATERIALIZED (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::timestamptz[], $8::timestamptz[])
             AS s (sku, name, aisle_type, quantity, unit_cost_cents, mfd_at, expiry_at)),
known AS (
  SELECT s.sku FROM sent s JOIN inventory.stock k ON k.sku = s.sku AND k.aisle_type = s.aisle_type AND k.name = s.name
   WHERE NOT $9::bool),
named AS (
  INSERT INTO inventory.stock AS k (sku, name, aisle_type)
  SELECT sku, name, aisle_type FROM sent WHERE sku NOT IN (SELECT sku FROM known) ORDER BY sku COLLATE "C"
  ON CONFLICT (sku) DO UPDATE SET name = excluded.name WHERE k.aisle_type = excluded.aisle_type
  RETURNING k.sku),
placed AS (
  SELECT sku FROM known UNION ALL SELECT sku FROM named),
listed AS (
  INSERT INTO inventory.restock_lines (order_id, sku, aisle_type, quantity, unit_cost_cents, mfd_at, expiry_at, received)
  SELECT $1, s.sku, s.aisle_type, s.quantity, s.unit_cost_cents, s.mfd_at, s.expiry_at, CASE WHEN $9 THEN NULL ELSE 0 END
    FROM sent s JOIN placed USING (sku))
SELECT sku FROM placed
"""


async def list_lines(tx: Statements, order_id: UUID, lines: Sequence[Delivered], *, shelved: bool) -> Collection[str]:
    """Write a delivery's lines, each SKU once, creating the products that are new; return the SKUs of other aisles, unwritten."""
    rows = await tx.rows(
        LIST_LINES,
        order_id,
        [line.sku for line in lines],
        [line.name for line in lines],
        [line.aisle_type for line in lines],
        [line.quantity for line in lines],
        [line.unit_cost_cents for line in lines],
        [line.mfd_at for line in lines],
        [line.expiry_at for line in lines],
        shelved,
    )
    return {line.sku for line in lines} - {row["sku"] for row in rows}


CONTENT = """-- restocks.content
SELECT content FROM inventory.restocks WHERE order_id = $1
"""


async def content(tx: Statements, order_id: UUID) -> bytes:
    """Return the digest of a delivery that was entered."""
    row = await tx.row(CONTENT, order_id)
    if row is None:
        raise LookupError("a delivery was entered and then was not: rows are never deleted")
    return bytes(row["content"])


# The row is locked by whoever finishes: of two last reports one sees the other's putaway done.
FINISH = """-- restocks.finish
UPDATE inventory.restocks r
   SET state = CASE WHEN EXISTS (SELECT FROM inventory.restock_lines WHERE order_id = $1 AND received > damaged)
                    THEN 'RECEIVED' ELSE 'REJECTED' END
 WHERE r.order_id = $1 AND r.state = 'RECEIVING'
   AND NOT EXISTS (SELECT FROM inventory.putaways WHERE order_id = $1 AND state <> 'DONE')
RETURNING r.state
"""


async def finish(tx: Statements, order_id: UUID) -> RestockState | None:
    """Close a delivery whose row is locked, if no putaway of it is open; REJECTED if no unit of it is good. None: it goes on."""
    row = await tx.row(FINISH, order_id)
    return None if row is None else RestockState(row["state"])


GET = """-- restocks.get
SELECT r.state, l.sku, coalesce(l.received, l.quantity) AS received, l.damaged
  FROM inventory.restocks r JOIN inventory.restock_lines l ON l.order_id = r.order_id
 WHERE r.order_id = $1 ORDER BY l.sku
"""


class Restock(Struct, frozen=True):
    """How far a delivery has come: totals so far."""

    state: RestockState
    counts: tuple[Count, ...]


async def get(db: Db, order_id: UUID) -> Restock | None:
    """Return how far a delivery has come; None if it is unknown."""
    rows = await db.rows(GET, order_id)
    if not rows:
        return None
    counts = tuple(Count(row["sku"], row["received"], row["damaged"]) for row in rows)
    return Restock(RestockState(rows[0]["state"]), counts)
