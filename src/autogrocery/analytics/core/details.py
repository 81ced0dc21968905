"""What metrics don't carry, asked for once an order has ended: short lines, deliveries by aisle, robots' picks.

The fields are the columns of the tables of the same names; times are in Unix microseconds. A row is identified by its
store and ids, so that an insert may be repeated.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID  # noqa: TC003 - msgspec reads it from the Structs

from msgspec import Meta, Struct

from autogrocery.analytics.core.facts import END_US

# What a peer sends is checked when it is decoded: a row that no column can take would be refused for ever.
Instant = Annotated[int, Meta(ge=1, lt=END_US)]
Count = Annotated[int, Meta(ge=0, lt=1 << 31)]
Units = Annotated[int, Meta(ge=0, lt=1 << 62)]
Text = Annotated[str, Meta(max_length=256)]


class Ended(Struct, frozen=True):
    """An order or a restock that has ended, and the write by which its last status change was stored."""

    batch: int
    store_id: str
    order_id: UUID


class ShortLine(Struct, frozen=True):
    """A line of which less was picked than granted."""

    order_id: UUID
    ended_at: Instant
    sku: Text
    name: Text
    granted: Count
    picked: Count
    unit_price_cents: Units
    store_id: str = ""


class DeliveredAisle(Struct, frozen=True):
    """Units of one aisle of a delivery: `damaged` is part of `received`, `missing` and `surplus` are summed by line."""

    order_id: UUID
    ended_at: Instant
    aisle: Text
    announced: Units
    received: Units
    damaged: Units
    missing: Units
    surplus: Units
    store_id: str = ""


class RobotPick(Struct, frozen=True):
    """An assignment that a robot has reported on."""

    order_id: UUID
    assignment_id: UUID
    robot_id: Text
    aisle: Text
    units: Count
    picked: Count
    short_skus: list[Text]
    assigned_at: Instant
    closed_at: Instant
    store_id: str = ""


class Details(Struct, frozen=True):
    """Rows of one answer."""

    short_lines: list[ShortLine] = []
    delivered: list[DeliveredAisle] = []
    picks: list[RobotPick] = []
