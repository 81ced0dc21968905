"""The register: one row an order. Locking that row serialises all changes of the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import OrderProgress, Pick
from autogrocery.inventory.core.stock import Line, RegisterEntry, ReleaseDecision, State, decide_release
from autogrocery.inventory.store import holds
from autogrocery.inventory.store.holds import columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, DbConnection

# Locks an order's row and compares its digests with the lines of the call.
LOCK = """-- orders.lock
SELECT state, coalesce(expires_at > now(), false) AS live,
       coalesce(requested_digest = inventory.digest($2::text[], $3::int[]), false) AS requested_alike,
       coalesce(granted_digest = inventory.digest($2::text[], $3::int[]), false) AS granted_alike
  FROM inventory.orders WHERE order_id = $1 FOR NO KEY UPDATE
"""


async def lock(tx: DbConnection, order_id: UUID, lines: Sequence[Line]) -> RegisterEntry | None:
    """Lock an order's row and return it, compared with these lines; None if the order is unknown."""
    row = await tx.row(LOCK, order_id, *columns(lines))
    if row is None:
        return None
    return RegisterEntry(State(row["state"]), row["live"], row["requested_alike"], row["granted_alike"])


# Locks an order's row.
LOCK_STATE = """-- orders.lock_state
SELECT state FROM inventory.orders WHERE order_id = $1 FOR NO KEY UPDATE
"""
# Finds an assignment of the order that a robot has ever started.
STARTED = """-- orders.started
SELECT FROM inventory.assignments WHERE order_id = $1 AND state <> 'OPEN' LIMIT 1
"""


async def lock_state(tx: DbConnection, order_id: UUID) -> State | None:
    """Lock an order's row and return its state; None if it is unknown."""
    row = await tx.row(LOCK_STATE, order_id)
    return None if row is None else State(row["state"])


async def has_started(tx: DbConnection, order_id: UUID) -> bool:
    """Return whether any robot has ever started on a locked order."""
    return await tx.row(STARTED, order_id) is not None


# The lines that an order was granted.
LINES = """-- orders.lines
SELECT sku, quantity FROM inventory.order_lines WHERE order_id = $1 ORDER BY sku
"""


async def list_lines(db: Db | DbConnection, order_id: UUID) -> tuple[Line, ...]:
    """Return the lines that an order was granted, by SKU."""
    return tuple(Line(row["sku"], row["quantity"]) for row in await db.rows(LINES, order_id))


# Makes a tombstone of an order whose hold has lapsed.
MARK_RELEASED = """-- orders.bury
UPDATE inventory.orders SET state = 'RELEASED' WHERE order_id = $1 AND state = 'LAPSED'
"""
# Adds a tombstone for an unknown order.
ADD_RELEASED = """-- orders.bury_unknown
INSERT INTO inventory.orders (order_id, state) VALUES ($1, 'RELEASED') ON CONFLICT (order_id) DO NOTHING
"""


async def mark_released(tx: DbConnection, order_id: UUID) -> None:
    """Set a locked order whose hold has lapsed to RELEASED."""
    await tx.run(MARK_RELEASED, order_id)


async def add_released(tx: DbConnection, order_id: UUID) -> bool:
    """Add a tombstone for an unknown order; False if the order is known by now."""
    return await tx.run(ADD_RELEASED, order_id) == 1


# The state of an order and its picks so far. A hold past its expiry is LAPSED even before the loop has freed its stock.
GET = """-- orders.get
SELECT CASE WHEN o.state = 'HELD' AND o.expires_at <= now() THEN 'LAPSED' ELSE o.state END AS state, l.sku, l.picked
  FROM inventory.orders o LEFT JOIN inventory.order_lines l ON l.order_id = o.order_id AND l.picked IS NOT NULL
 WHERE o.order_id = $1 ORDER BY l.sku
"""


async def get(db: Db, order_id: UUID) -> OrderProgress | None:
    """Return an order's state and the picks reported so far; None if it is unknown."""
    rows = await db.rows(GET, order_id)
    if not rows:
        return None
    picks = tuple(Pick(row["sku"], row["picked"]) for row in rows if row["sku"] is not None)
    return OrderProgress(State(rows[0]["state"]), picks)


async def release(db: Db, order_id: UUID, *, cancel: bool) -> bool:
    """Free an order's stock and leave a tombstone, in one transaction; False if robots keep the order (K3)."""
    async with db.transaction() as tx:
        state = await lock_state(tx, order_id)
        if state is None:
            if await add_released(tx, order_id):
                return True
            state = await lock_state(tx, order_id)
        if state is None:
            raise LookupError("an order vanished from the register: rows are never deleted")
        started = state is State.ASSIGNED and await has_started(tx, order_id)
        match decide_release(state, cancel=cancel, started=started):
            case ReleaseDecision.ALREADY_ASSIGNED:
                return False
            case ReleaseDecision.RETURN_HELD:
                await holds.release(tx, order_id, allocated=False)
            case ReleaseDecision.RETURN_ALLOCATED:
                await holds.release(tx, order_id, allocated=True)
            case ReleaseDecision.MARK_RELEASED:
                await mark_released(tx, order_id)
            case ReleaseDecision.ALREADY_RELEASED:
                pass
    return True
