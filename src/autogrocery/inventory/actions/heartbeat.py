"""Keep a robot's leases alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import putaways, robots
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db

MAX_FENCES = 1_000


async def heartbeat(db: Db, robot_id: str, fences: Sequence[int], *, lease_s: float) -> list[int]:
    """Renew the leases named by `fences` for `lease_s` seconds; return those the robot has no longer, in order."""
    if len(fences) > MAX_FENCES:
        raise Invalid("invalid_fences", f"names more than {MAX_FENCES} leases")
    unknown = set(fences) - await robots.beat(db, robot_id, fences, lease_s=lease_s)
    if unknown:
        unknown -= await putaways.beat(db, robot_id, unknown, lease_s=lease_s)
    return sorted(unknown)
