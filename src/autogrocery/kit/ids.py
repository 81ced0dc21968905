"""Ids of one type: asyncpg's UUID, a subclass of uuid.UUID that is made and written as text ten times as fast.

asyncpg returns it for every `uuid` column anyway. Measured on Python 3.11: `str()` 0.15 µs instead of 2.1, from bytes
0.13 µs instead of 1.15; an order's id is written nine times.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from uuid import uuid5 as plain_uuid5

from asyncpg.pgproto import pgproto

if TYPE_CHECKING:
    from uuid import UUID

RANDOM_BYTES = 10


def uuid7() -> UUID:
    """Return a new UUID version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then random bits."""
    random = bytearray(os.urandom(RANDOM_BYTES))
    random[0] = random[0] & 0x0F | 0x70  # the version
    random[2] = random[2] & 0x3F | 0x80  # the variant
    made: UUID = pgproto.UUID((time.time_ns() // 1_000_000).to_bytes(6, "big") + bytes(random))
    return made


def uuid5(namespace: UUID, name: str) -> UUID:
    """Return the UUID version 5 of a name: the same for the same name (RFC 9562 §5.5)."""
    made: UUID = pgproto.UUID(plain_uuid5(namespace, name).bytes)
    return made
