"""Let a robot begin, before it touches stock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import of_another_class
from autogrocery.inventory.store import putaways, robots

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from autogrocery.inventory.core.picking import Lease
    from autogrocery.kit.pg.db import Db


async def start_pick(
    db: Db, assignment_id: UUID, robot_id: str, classes: Collection[str], *, lease_s: float
) -> Lease | None:
    """Return the robot's lease, renewed if it has it already; None if another has it, or there is nothing to do.

    From the first start on, the order can't be cancelled (K3). A putaway is started likewise, and its lease says what was
    reported of it before. Raises Denied for an assignment of another class.
    """
    lease = await robots.start(db, assignment_id, robot_id, classes, lease_s=lease_s)
    if lease is not None:
        return lease
    wanted = await robots.class_of(db, assignment_id)
    if wanted is None:
        lease = await putaways.start(db, assignment_id, robot_id, classes, lease_s=lease_s)
        if lease is not None:
            return lease
        wanted = await putaways.class_of(db, assignment_id)
    if wanted is not None and wanted not in classes:
        raise of_another_class(wanted)
    return None
