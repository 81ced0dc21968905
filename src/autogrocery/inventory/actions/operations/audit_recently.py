"""Return the last audit of inventory's invariants, at most some seconds old."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.inventory.actions.audit import audit

if TYPE_CHECKING:
    from autogrocery.kit.pg.audit import InvariantResult
    from autogrocery.kit.pg.db import Db

KEPT_S: Final = 15.0


class AuditResult(Struct, frozen=True):
    """Every invariant with its violations, and when they were counted."""

    checked_at: datetime
    invariants: tuple[InvariantResult, ...]


class LastAudit:
    """The last audit, and the lock under which the next one is made: one at a time, whoever asks."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.made_at = 0.0
        self.result: AuditResult | None = None


async def audit_recently(db: Db, last: LastAudit) -> AuditResult:
    """Return the last audit if it is at most KEPT_S seconds old, else a new one."""
    async with last.lock:
        if last.result is None or time.monotonic() - last.made_at > KEPT_S:
            last.result = AuditResult(datetime.now(UTC), tuple(await audit(db)))
            last.made_at = time.monotonic()
        return last.result
