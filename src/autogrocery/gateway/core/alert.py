"""Alerts: of what a device's people are told by SMS, when, and in which words. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.money import money

if TYPE_CHECKING:
    from datetime import tzinfo

    from autogrocery.gateway.core.order import Order


class Alerts(StrEnum):
    """What a device wants to hear of."""

    NONE = "none"
    TROUBLE = "trouble"  # less than was ordered, or nothing
    ALL = "all"


class Occasion(StrEnum):
    """What an alert tells; an order has one at most, for it ends once."""

    COMPLETED = "COMPLETED"  # whole
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"  # after robots were promised


WANTED = {
    Alerts.NONE: frozenset[Occasion](),
    Alerts.TROUBLE: frozenset({Occasion.PARTIAL, Occasion.FAILED}),
    Alerts.ALL: frozenset(Occasion),
}


class QuietHours(Struct, frozen=True):
    """From `start` o'clock until `end` o'clock in `zone`, less than a day, nobody's telephone rings."""

    start: int
    end: int
    zone: tzinfo

    def left_s(self, at: datetime) -> float:
        """Return how many seconds of quiet are left at an aware instant, 0 if it is not quiet."""
        here = at.astimezone(self.zone)
        length = (self.end - self.start) % 24
        if (here.hour - self.start) % 24 >= length:
            return 0.0
        day = here.date() + timedelta(days=1 if here.hour >= self.end else 0)
        ends = datetime.combine(day, time(self.end), self.zone)
        return max(0.0, (ends.astimezone(UTC) - at.astimezone(UTC)).total_seconds())  # as clocks change, too


def alert_text(order: Order, occasion: Occasion, store_id: str) -> str:
    """Return the words: one SMS if the store's name is short, no name of a product, nothing a truck could write."""
    name, charged = str(order.order_id)[-12:], money(order.total_cents, order.currency)
    if occasion is Occasion.FAILED:
        return f"{store_id}: your order {name} could not be picked. You pay nothing."
    units = sum(line.quantity for line in order.lines)
    if occasion is Occasion.PARTIAL:
        picked = sum(line.quantity if line.picked is None else line.picked for line in order.lines)
        return f"{store_id}: your order {name} is ready with {picked} of {units} items. You pay {charged}."
    return f"{store_id}: your order {name} is ready, all {units} items. You pay {charged}."
