"""Restock orders: entered once, however often they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.putaway import ReceivedCount, RestockProgress, RestockState
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import putaways, shelf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.inventory.core.restock import RestockLine
    from autogrocery.kit.pg.db import Db, DbConnection

# Adds a restock order, unless its id is used.
ADD = """-- restocks.add
INSERT INTO inventory.restocks (order_id, supplier_id, content, state) VALUES ($1, $2, $3, $4)
ON CONFLICT (order_id) DO NOTHING
"""


async def add(tx: DbConnection, order_id: UUID, supplier_id: str, digest: bytes, state: RestockState) -> bool:
    """Add a restock order; False if its id is used."""
    return await tx.run(ADD, order_id, supplier_id, digest, state.value) == 1


# Adds the lines of a restock order, creates new products and renames known ones, and returns the SKUs written. A
# product that is in another aisle is neither changed nor returned. Stock rows are locked in SKU order: all of them if
# the goods are shelved in this transaction ($9), else only those of new or renamed products.
ADD_LINES = """-- restocks.list_lines
WITH sent AS MATERIALIZED (
  SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::timestamptz[],
                       $8::timestamptz[])
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
  INSERT INTO inventory.restock_lines (order_id, sku, aisle_type, quantity, unit_cost_cents, mfd_at, expiry_at,
                                       received)
  SELECT $1, s.sku, s.aisle_type, s.quantity, s.unit_cost_cents, s.mfd_at, s.expiry_at,
         CASE WHEN $9 THEN NULL ELSE 0 END
    FROM sent s JOIN placed USING (sku))
SELECT sku FROM placed
"""


class WrongAisleError(Exception):
    """A product of the restock order is in another aisle; rolls back what was entered."""


async def add_lines(tx: DbConnection, order_id: UUID, lines: Sequence[RestockLine], *, shelved: bool) -> None:
    """Add a restock order's lines, each SKU once, and new products. Raises WrongAisleError for a wrong aisle."""
    rows = await tx.rows(
        ADD_LINES,
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
    misplaced = {line.sku for line in lines} - {row["sku"] for row in rows}
    if misplaced:
        raise WrongAisleError(f"{min(misplaced)} stands in another aisle")


# The digest of a restock order's content.
DIGEST = """-- restocks.content
SELECT content FROM inventory.restocks WHERE order_id = $1
"""


async def get_digest(tx: DbConnection, order_id: UUID) -> bytes:
    """Return the content digest of a restock order that was entered."""
    row = await tx.row(DIGEST, order_id)
    if row is None:
        raise LookupError("a restock order vanished: rows are never deleted")
    return bytes(row["content"])


# Closes a restock order without open putaways. Its row is locked, so of two concurrent last reports the second sees the
# other's putaway done.
FINISH = """-- restocks.finish
UPDATE inventory.restocks r
   SET state = CASE WHEN EXISTS (SELECT FROM inventory.restock_lines WHERE order_id = $1 AND received > damaged)
                    THEN 'RECEIVED' ELSE 'REJECTED' END
 WHERE r.order_id = $1 AND r.state = 'RECEIVING'
   AND NOT EXISTS (SELECT FROM inventory.putaways WHERE order_id = $1 AND state <> 'DONE')
RETURNING r.state
"""


async def finish(tx: DbConnection, order_id: UUID) -> RestockState | None:
    """Close a restock order whose row is locked and return its final state; None if a putaway of it is still open.

    It is REJECTED if no unit of it is good, else RECEIVED.
    """
    row = await tx.row(FINISH, order_id)
    return None if row is None else RestockState(row["state"])


# The state of a restock order and its totals; a line without a count was on its shelf already and is received in full.
GET = """-- restocks.get
SELECT r.state, l.sku, coalesce(l.received, l.quantity) AS received, l.damaged
  FROM inventory.restocks r JOIN inventory.restock_lines l ON l.order_id = r.order_id
 WHERE r.order_id = $1 ORDER BY l.sku
"""


async def get(db: Db, order_id: UUID) -> RestockProgress | None:
    """Return a restock order's state and totals so far; None if it is unknown."""
    rows = await db.rows(GET, order_id)
    if not rows:
        return None
    counts = tuple(ReceivedCount(row["sku"], row["received"], row["damaged"]) for row in rows)
    return RestockProgress(RestockState(rows[0]["state"]), counts)


class EnterResult(Struct, frozen=True):
    """The putaways of a new restock order; none if it was shelved, entered before, or `refused` for a reason."""

    putaways: tuple[Assignment, ...] = ()
    refused: str | None = None


async def enter(
    db: Db, order_id: UUID, supplier_id: str, lines: Sequence[RestockLine], digest: bytes, *, shelved: bool
) -> EnterResult:
    """Enter a restock order with its lines, and its putaways or, if `shelved`, its stock, in one transaction."""
    try:
        async with db.transaction() as tx:
            state = RestockState.RECEIVED if shelved else RestockState.RECEIVING
            if not await add(tx, order_id, supplier_id, digest, state):
                same = await get_digest(tx, order_id) == digest
                return EnterResult(refused=None if same else "another restock order was entered under this id")
            await add_lines(tx, order_id, lines, shelved=shelved)
            if not shelved:
                return EnterResult(await putaways.add(tx, order_id, lines))
            await shelf.shelve(tx, order_id, order_id, [Line(line.sku, line.quantity) for line in lines])
    except WrongAisleError as error:
        return EnterResult(refused=str(error))
    return EnterResult()
