"""SMS alerts about the end of an order: who wants which, and the text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.contracts.alerts import AlertEvent, AlertPreference
from autogrocery.contracts.money import format_amount

if TYPE_CHECKING:
    from uuid import UUID

EVENTS_BY_PREFERENCE: Final = {
    AlertPreference.NONE: frozenset[AlertEvent](),
    AlertPreference.TROUBLE: frozenset({AlertEvent.PARTIAL, AlertEvent.FAILED}),
    AlertPreference.ALL: frozenset(AlertEvent),
}


class Alert(Struct, frozen=True):
    """An order that ended, and the number and the preference of its device, as the registry has them now."""

    order_id: UUID
    event: AlertEvent
    currency: str
    total_cents: int
    units: int
    picked: int
    phone: str | None
    preference: AlertPreference

    @property
    def key(self) -> str:
        """Return the idempotency key: an order ends once, so it has at most one alert of an event."""
        return f"{self.order_id}-{self.event.lower()}"


def alert_text(alert: Alert, store_id: str) -> str:
    """Return the text of an alert: one SMS if the store's name is short.

    It contains no product name, because trucks choose those.
    """
    short_id, charged = str(alert.order_id)[-12:], format_amount(alert.total_cents, alert.currency)
    if alert.event is AlertEvent.FAILED:
        return f"{store_id}: your order {short_id} could not be picked. You pay nothing."
    if alert.event is AlertEvent.PARTIAL:
        return (
            f"{store_id}: your order {short_id} is ready with {alert.picked} of {alert.units} items. You pay {charged}."
        )
    return f"{store_id}: your order {short_id} is ready, all {alert.units} items. You pay {charged}."
