"""Enter a restock order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.restock import content_digest
from autogrocery.inventory.store import restocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.restock import RestockLine
    from autogrocery.inventory.peers.robots import Announcer
    from autogrocery.inventory.store.poll_cache import PollCache
    from autogrocery.kit.pg.db import Db


async def restock_items(
    db: Db,
    polls: PollCache,
    announcer: Announcer,
    order_id: UUID,
    supplier_id: str,
    lines: Sequence[RestockLine],
    *,
    shelved: bool,
) -> str | None:
    """Enter a restock order once and announce its putaways; if `shelved`, its goods are on sale at once.

    Creates unknown products. Returns the reason of a refusal, or None: other content under a used id is refused, and
    so is a product that is in another aisle. Putaways wait until a robot of their class asks for work.
    """
    digest = content_digest(supplier_id, lines, shelved=shelved)
    result = await restocks.enter(db, order_id, supplier_id, lines, digest, shelved=shelved)
    for assignment in result.putaways:
        polls.drop_no_putaways(assignment.robot_class)
        await announcer.announce(order_id, assignment)
    return result.refused
