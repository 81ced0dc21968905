"""GET /internal/ops/changes: server-sent events. The event's name says which of these Structs its data is."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Literal
from uuid import UUID  # noqa: TC003

from msgspec import Struct

STATUS, SWITCHES, ATTENTION = "status", "switches", "attention"  # names of events


class Change(Struct, frozen=True, rename={"from_status": "from", "to_status": "to"}):
    """Event `status`: an order or restock changed its status. (epoch, sequence) is unique: a repeat has the same."""

    kind: Literal["order", "restock"]
    order_id: UUID
    from_status: str | None
    to_status: str
    cause: str
    at: datetime
    epoch: int
    sequence: int


class AttentionCount(Struct, frozen=True):
    """Event `attention`: how many orders and restocks need a person; sent first and when it changes."""

    count: int


class SwitchesOn(Struct, frozen=True):
    """Event `switches`: the names of those that are on; sent first and when they change."""

    names: tuple[str, ...]
