"""Timestamps. Deadlines in the database are decided by its own clock, not by these."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time as an aware datetime in UTC."""
    return datetime.now(UTC)


def rfc3339(at: datetime) -> str:
    """Return a time as RFC 3339 text in UTC with microseconds, ending in Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
