"""SMS alerts about the end of an order: preferences, quiet hours and the text. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.money import format_amount

if TYPE_CHECKING:
    from datetime import tzinfo

    from autogrocery.gateway.core.order import Order


class AlertPreference(StrEnum):
    """For which ends of its orders a device gets an alert."""

    NONE = "none"
    TROUBLE = "trouble"  # partial and failed orders
    ALL = "all"


class AlertEvent(StrEnum):
    """The end of an order that an alert reports. An order ends once, so it has at most one alert."""

    COMPLETED = "COMPLETED"  # with all units
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"  # after robots were dispatched


EVENTS_BY_PREFERENCE = {
    AlertPreference.NONE: frozenset[AlertEvent](),
    AlertPreference.TROUBLE: frozenset({AlertEvent.PARTIAL, AlertEvent.FAILED}),
    AlertPreference.ALL: frozenset(AlertEvent),
}


class QuietHours(Struct, frozen=True):
    """No alert is sent from hour `start` until hour `end` in `zone`; they are shorter than a day."""

    start: int
    end: int
    zone: tzinfo

    def remaining_s(self, at: datetime) -> float:
        """Return how many seconds of quiet hours are left at `at`, which is timezone-aware; 0 outside of them."""
        local = at.astimezone(self.zone)
        length = (self.end - self.start) % 24
        if (local.hour - self.start) % 24 >= length:
            return 0.0
        day = local.date() + timedelta(days=1 if local.hour >= self.end else 0)
        ends = datetime.combine(day, time(self.end), self.zone)
        return max(
            0.0, (ends.astimezone(UTC) - at.astimezone(UTC)).total_seconds()
        )  # in UTC, because the clocks may change meanwhile


def alert_text(order: Order, event: AlertEvent, store_id: str) -> str:
    """Return the text of an alert: one SMS if the store's name is short.

    It contains no product name, because trucks choose those.
    """
    short_id, charged = str(order.order_id)[-12:], format_amount(order.total_cents, order.currency)
    if event is AlertEvent.FAILED:
        return f"{store_id}: your order {short_id} could not be picked. You pay nothing."
    units = sum(line.quantity for line in order.lines)
    if event is AlertEvent.PARTIAL:
        picked = sum(line.quantity if line.picked is None else line.picked for line in order.lines)
        return f"{store_id}: your order {short_id} is ready with {picked} of {units} items. You pay {charged}."
    return f"{store_id}: your order {short_id} is ready, all {units} items. You pay {charged}."
