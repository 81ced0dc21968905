"""GET /internal/ops/robots: who is seen, what each does and what waits for it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated, Literal
from uuid import UUID  # noqa: TC003

from msgspec import Meta, Struct


class RobotsQuery(Struct, frozen=True):
    """Filters of the list."""

    robot_class: Annotated[str, Meta(max_length=20)] = ""
    cursor: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class RobotTask(Struct, frozen=True):
    """What a robot does now: it has the lease of this assignment until `lease_until`."""

    kind: Literal["pick", "putaway"]
    assignment_id: UUID
    order_id: UUID
    aisle: str
    lease_until: datetime


class RobotRow(Struct, frozen=True):
    """A robot. `live`: seen a moment ago, so that it gets work. `queue` counts its picks that have not started."""

    robot_id: str
    robot_class: str
    last_seen_at: datetime
    live: bool
    queue: int
    tasks: list[RobotTask]


class RobotPage(Struct, frozen=True):
    """A page, by id."""

    data: list[RobotRow]
    next_cursor: str | None
