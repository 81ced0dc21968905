"""Hours of the day during which messages wait."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from autogrocery.kit.process.settings import SettingsError


class QuietHours(Struct, frozen=True):
    """No message is sent from hour `start` until hour `end` in `zone`; they are shorter than a day."""

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


def parse_quiet_hours(hours: str, zone_name: str) -> QuietHours | None:
    """Parse ALERT_QUIET_HOURS, such as `22-7`, in the zone STORE_TIMEZONE; None if it is empty.

    Raises SettingsError if this machine does not know the time zone, or if it would be quiet all day.
    """
    try:
        zone: tzinfo = UTC if zone_name == "UTC" else ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("STORE_TIMEZONE names no zone that this machine knows") from None
    if not hours:
        return None
    start, end = map(int, hours.split("-"))
    if start == end:
        raise SettingsError("ALERT_QUIET_HOURS is malformed: it ends when it begins")
    return QuietHours(start, end, zone)
