"""Which ends of an order may owe its device an alert, by the operator's setting. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import Outcome

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import OrderResult


class AlertPolicy(Struct, frozen=True):
    """`alert_full`: an order that was picked whole may owe an alert too, if its device asked for all of them."""

    alert_full: bool = False

    def may_alert(self, result: OrderResult) -> bool:
        """Return whether an order with this result may owe an alert; the device's own choice is in its row."""
        return self.alert_full or result.outcome is not Outcome.FULL
