"""Renew a robot's leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import putaways, robots
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db

MAX_FENCES = 1_000


async def heartbeat(db: Db, robot_id: str, fences: Sequence[int], *, lease_s: float) -> list[int]:
    """Renew the leases named by `fences` for `lease_s` seconds; return the fences the robot has lost, sorted.

    Raises Invalid for more than 1,000 fences.
    """
    if len(fences) > MAX_FENCES:
        raise Invalid("invalid_fences", f"names more than {MAX_FENCES} leases")
    lost = set(fences) - await robots.renew_leases(db, robot_id, fences, lease_s=lease_s)
    if lost:
        lost -= await putaways.renew_leases(db, robot_id, lost, lease_s=lease_s)
    return sorted(lost)
