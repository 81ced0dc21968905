"""View the invariants: the last audit, and start the next one in the background."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.ops.overview import Invariant, InvariantsOut
from autogrocery.gateway.actions.audit import audit
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from autogrocery.gateway.actions.ops.cached import AuditRuns
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.background import BackgroundTasks

EVERY_S: Final = 15.0
SHARE: Final = 30  # an audit that takes a second is made every thirty seconds: it may use 1/30 of a database's core
NOT_YET: Final = InvariantsOut(clean=False, checked_at=None, data=[], untold={})
NOT_TOLD: Final = "inventory offers operators no service here"


def view_invariants(db: Db, runs: AuditRuns, background: BackgroundTasks) -> InvariantsOut:
    """Return the last audit without waiting, and start the next if it is due: one at a time, at most every EVERY_S."""
    if not runs.running and time.monotonic() >= runs.next_at:
        runs.running = True
        background.start(_run(db, runs))
    return runs.last or NOT_YET


async def _run(db: Db, runs: AuditRuns) -> None:
    started = time.monotonic()
    untold = {"inventory": NOT_TOLD}
    try:
        found = await audit(db)
        data = [Invariant("gateway", one.name, one.sentence, one.violations, one.examples) for one in found.invariants]
        runs.last = InvariantsOut(found.clean, datetime.now(UTC), data, untold)
    except Unavailable as trouble:
        known = runs.last or NOT_YET
        runs.last = InvariantsOut(
            known.clean,
            known.checked_at,
            known.data,
            untold | {"gateway": f"the database gave no answer: {trouble.code}"},
        )
    finally:
        runs.running = False
        runs.next_at = time.monotonic() + max(EVERY_S, SHARE * (time.monotonic() - started))
