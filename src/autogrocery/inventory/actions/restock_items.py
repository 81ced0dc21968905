"""Take a delivery in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.delivery import digest
from autogrocery.inventory.core.putaway import RestockState
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import putaways, restocks, shelf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.delivery import Delivered
    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.inventory.peers.robots import Announcer
    from autogrocery.kit.pg.db import Db, Statements


class MisplacedError(Exception):
    """Products stand in another aisle than the delivery says; rolls back what was entered."""


async def restock_items(
    db: Db, announcer: Announcer, order_id: UUID, supplier_id: str, lines: Sequence[Delivered], *, shelved: bool
) -> str | None:
    """Enter a delivery, once, and call robots to put it away; if `shelved`, all of it can be sold at once.

    Unknown products are created. Returns why it was refused, or None. Another delivery under an id that was used is refused,
    and so is a product in another aisle than where it stands. Where no robot is there, the delivery waits for one.
    """
    try:
        async with db.transaction() as tx:
            content = digest(supplier_id, lines, shelved=shelved)
            state = RestockState.RECEIVED if shelved else RestockState.RECEIVING
            if not await restocks.add(tx, order_id, supplier_id, content, state):
                alike = await restocks.content(tx, order_id) == content
                return None if alike else "another delivery was entered under this order id"
            made = await _take_in(tx, order_id, lines, shelved=shelved)
    except MisplacedError as error:
        return str(error)
    putaways.forget_idle(db, made)
    for assignment in made:
        await announcer.announce(order_id, assignment)
    return None


async def _take_in(
    tx: Statements, order_id: UUID, lines: Sequence[Delivered], *, shelved: bool
) -> tuple[Assignment, ...]:
    misplaced = await restocks.list_lines(tx, order_id, lines, shelved=shelved)
    if misplaced:
        raise MisplacedError(f"{min(misplaced)} stands in another aisle")
    if not shelved:
        return await putaways.add(tx, order_id, lines)
    await shelf.shelve(tx, order_id, order_id, [Line(line.sku, line.quantity) for line in lines])
    return ()
