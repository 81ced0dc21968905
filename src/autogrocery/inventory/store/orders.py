"""The register: one row an order; who locks it decides alone what happens to the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.picking import Pick
from autogrocery.inventory.core.stock import Line, Standing, State
from autogrocery.inventory.store.holds import columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Statements

LOCK = """-- orders.lock
SELECT state, coalesce(expires_at > now(), false) AS live,
       coalesce(requested_digest = inventory.digest($2::text[], $3::int[]), false) AS requested_alike,
       coalesce(granted_digest = inventory.digest($2::text[], $3::int[]), false) AS granted_alike
  FROM inventory.orders WHERE order_id = $1 FOR NO KEY UPDATE
"""


async def lock(tx: Statements, order_id: UUID, lines: Sequence[Line]) -> Standing | None:
    """Lock an order's row and say how it stands to these lines; None if it is unknown."""
    row = await tx.row(LOCK, order_id, *columns(lines))
    if row is None:
        return None
    return Standing(State(row["state"]), row["live"], row["requested_alike"], row["granted_alike"])


LOCK_STATE = """-- orders.lock_state
SELECT state FROM inventory.orders WHERE order_id = $1 FOR NO KEY UPDATE
"""
STARTED = """-- orders.started
SELECT FROM inventory.assignments WHERE order_id = $1 AND state <> 'OPEN' LIMIT 1
"""


async def lock_state(tx: Statements, order_id: UUID) -> State | None:
    """Lock an order's row and return its state; None if it is unknown."""
    row = await tx.row(LOCK_STATE, order_id)
    return None if row is None else State(row["state"])


async def started(tx: Statements, order_id: UUID) -> bool:
    """Say whether a robot has started on a locked order, ever."""
    return await tx.row(STARTED, order_id) is not None


LINES = """-- orders.lines
SELECT sku, quantity FROM inventory.order_lines WHERE order_id = $1 ORDER BY sku
"""


async def lines(db: Db | Statements, order_id: UUID) -> tuple[Line, ...]:
    """Return what an order was granted."""
    return tuple(Line(row["sku"], row["quantity"]) for row in await db.rows(LINES, order_id))


BURY_LAPSED = """-- orders.bury
UPDATE inventory.orders SET state = 'RELEASED' WHERE order_id = $1 AND state = 'LAPSED'
"""
BURY_UNKNOWN = """-- orders.bury_unknown
INSERT INTO inventory.orders (order_id, state) VALUES ($1, 'RELEASED') ON CONFLICT (order_id) DO NOTHING
"""


async def bury(tx: Statements, order_id: UUID) -> None:
    """Leave a tombstone for an order that holds nothing and whose row is locked."""
    await tx.run(BURY_LAPSED, order_id)


async def bury_unknown(tx: Statements, order_id: UUID) -> bool:
    """Leave a tombstone for an order never heard of; False if it has been heard of by now."""
    return await tx.run(BURY_UNKNOWN, order_id) == 1


# A hold past its expiry is told as lapsed, whether or not the loop has come by.
GET = """-- orders.get
SELECT CASE WHEN o.state = 'HELD' AND o.expires_at <= now() THEN 'LAPSED' ELSE o.state END AS state, l.sku, l.picked
  FROM inventory.orders o LEFT JOIN inventory.order_lines l ON l.order_id = o.order_id AND l.picked IS NOT NULL
 WHERE o.order_id = $1 ORDER BY l.sku
"""


class Told(Struct, frozen=True):
    """An order as it is told to others: the picks are those reported so far."""

    state: State
    picks: tuple[Pick, ...]


async def get(db: Db, order_id: UUID) -> Told | None:
    """Return where an order stands; None if it is unknown."""
    rows = await db.rows(GET, order_id)
    if not rows:
        return None
    picks = tuple(Pick(row["sku"], row["picked"]) for row in rows if row["sku"] is not None)
    return Told(State(rows[0]["state"]), picks)
