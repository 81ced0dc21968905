"""Whether the database answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

PING = "-- health.ping\nSELECT 1"


async def ping(db: Db) -> None:
    """Return once the database has answered; raises Unavailable."""
    await db.row(PING)
