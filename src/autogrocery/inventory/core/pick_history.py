"""What robots did for orders that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class ReportedPick(Struct, frozen=True):
    """An assignment that `robot_id` has reported on; `short_skus` are those of which less was picked than was to be."""

    order_id: UUID
    assignment_id: UUID
    robot_id: str
    aisle: str
    units: int
    picked: int
    short_skus: tuple[str, ...]
    assigned_at: datetime
    closed_at: datetime
