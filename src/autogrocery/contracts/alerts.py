"""What the gateway and the notifier call an alert: the column `alerts` of a device, and `event` of `alert_outbox`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

PHONE_PATTERN: Final = r"^\+[1-9][0-9]{6,14}(?!\n)$"  # E.164: what the registry takes, and an SMS is sent to


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
