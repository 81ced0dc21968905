"""The operator's switches, table ops_switches. One whose `until` has passed is off."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


class SwitchState(Struct, frozen=True):
    """A switch that was set at least once; `on` by the database's clock."""

    name: str
    on: bool
    reason: str
    operator: str
    changed_at: datetime
    until: datetime | None


COLUMNS = """name, is_on AND (until IS NULL OR until > now()) AS "on", reason, operator, changed_at, until"""
LIST = f"-- ops_switches.list\nSELECT {COLUMNS} FROM ops_switches ORDER BY name"


async def list_set(db: Db) -> list[SwitchState]:
    """Return every switch that was ever set, by name."""
    return [SwitchState(**row) for row in await db.rows(LIST)]


SET = f"""
-- ops_switches.write
INSERT INTO ops_switches AS s (name, is_on, reason, operator, until) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE
   SET is_on = EXCLUDED.is_on, reason = EXCLUDED.reason, operator = EXCLUDED.operator, until = EXCLUDED.until,
       changed_at = now()
RETURNING {COLUMNS}
"""  # noqa: S608


async def write(db: Db, name: str, *, on: bool, reason: str, operator: str, until: datetime | None) -> SwitchState:
    """Set a switch; the last caller wins."""
    row = await db.row(SET, name, on, reason, operator, until)
    assert row is not None
    return SwitchState(**row)
