"""Grant a robot the lease of an assignment, before it touches stock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import wrong_class_error
from autogrocery.inventory.store import putaways, robots

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from autogrocery.inventory.core.picking import Lease
    from autogrocery.kit.pg.db import Db


async def start_pick(
    db: Db, assignment_id: UUID, robot_id: str, classes: Collection[str], *, lease_s: float
) -> Lease | None:
    """Return the lease of a pick or a putaway for `lease_s` seconds; None if another robot has it or the work is done.

    A robot that has the lease already gets it renewed. From the first start on, the order can't be cancelled (K3,
    docs/PROTOCOL.md#what-a-peer-promises). A putaway's lease carries the totals reported so far. Raises Denied for an
    assignment of another class.
    """
    lease = await robots.start(db, assignment_id, robot_id, classes, lease_s=lease_s)
    if lease is not None:
        return lease
    wanted = await robots.get_class(db, assignment_id)
    if wanted is None:
        lease = await putaways.start(db, assignment_id, robot_id, classes, lease_s=lease_s)
        if lease is not None:
            return lease
        wanted = await putaways.get_class(db, assignment_id)
    if wanted is not None and wanted not in classes:
        raise wrong_class_error(wanted)
    return None
