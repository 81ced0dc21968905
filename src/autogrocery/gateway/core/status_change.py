"""One committed status change of an order or a restock, and the number under which its metric is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.gateway.core.order import Status
    from autogrocery.gateway.core.restock import RestockStatus


class MetricNumber(Struct, frozen=True):
    """The publisher's run (`epoch`) and the number in it: reserved before the write, stored by it, void if it fails."""

    epoch: int
    sequence: int


class StatusChange(Struct, frozen=True):
    """What the metric of a committed status change carries.

    For a restock `confirmed_at` is when it was announced, the counts are what was announced, and `total_cents` is 0:
    analytics adds up what devices are charged, and what suppliers ask is confidential.
    """

    order_id: UUID
    version: int
    to_status: Status | RestockStatus
    at: datetime
    confirmed_at: datetime | None
    total_cents: int
    item_count: int
    line_count: int
    number: MetricNumber
