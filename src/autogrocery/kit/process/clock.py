"""Timestamps and time-ordered ids. Deadlines in the database are decided by its own clock, not by these."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from uuid import UUID


def now() -> datetime:
    """Return the current time as an aware datetime in UTC."""
    return datetime.now(UTC)


def uuid7() -> UUID:
    """Return a new UUID version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then random bits."""
    bits = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | (0x7 << 76)
    bits = bits & ~(0x3 << 62) | (0x2 << 62)
    return UUID(int=bits)


def rfc3339(at: datetime) -> str:
    """Return a time as RFC 3339 text in UTC with microseconds, ending in Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
