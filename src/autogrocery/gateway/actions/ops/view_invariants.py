"""View the invariants: the last audits of the gateway and of inventory, and start the next in the background."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.ops.overview import Invariant, InvariantsOut
from autogrocery.gateway.actions.audit import audit
from autogrocery.kit.errors import InDoubt, NotTold, Unavailable
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.gateway.actions.ops.cached import AuditRun, Audits
    from autogrocery.gateway.peers.inventory_operations import InventoryOperations
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.background import BackgroundTasks

EVERY_S: Final = 15.0
SHARE: Final = 30  # an audit that takes a second is made every thirty seconds: it may use 1/30 of a database's core
UNTOLD_AGAIN_S: Final = 60.0  # at most, after an audit without an answer, however long that took


def view_invariants(
    db: Db, operations: InventoryOperations, audits: Audits, background: BackgroundTasks
) -> InvariantsOut:
    """Return the last audits without waiting, and start what is due: of each source one at a time, every EVERY_S.

    A source that gives no answer does not keep the other waiting.
    """
    _start(audits.gateway, partial(_audit_gateway, db), background)
    _start(audits.inventory, partial(_audit_inventory, operations), background)
    sources = {"gateway": audits.gateway, "inventory": audits.inventory}
    told = [one for run in sources.values() for one in run.found or ()]
    return InvariantsOut(
        clean=audits.gateway.found is not None and not any(one.violations for one in told),
        checked_at=min((one.checked_at for one in told), default=None),
        data=told,
        untold={name: run.untold for name, run in sources.items() if run.untold is not None},
    )


def _start(run: AuditRun, ask: Callable[[], Awaitable[list[Invariant]]], background: BackgroundTasks) -> None:
    if not run.running and time.monotonic() >= run.next_at:
        run.running = True
        background.start(_run(run, ask))


async def _run(run: AuditRun, ask: Callable[[], Awaitable[list[Invariant]]]) -> None:
    started = time.monotonic()
    try:
        run.found, run.untold = await ask(), None
    except Unavailable as trouble:
        run.untold = f"the database gave no answer: {trouble.code}"
    except (InDoubt, NotTold) as trouble:
        run.untold = trouble.detail
    finally:
        wait_s = max(EVERY_S, SHARE * (time.monotonic() - started))
        run.next_at = time.monotonic() + (wait_s if run.untold is None else min(wait_s, UNTOLD_AGAIN_S))
        run.running = False


async def _audit_gateway(db: Db) -> list[Invariant]:
    found = (await audit(db)).invariants
    at = now()
    return [Invariant("gateway", one.name, one.sentence, one.violations, one.examples, at) for one in found]


async def _audit_inventory(operations: InventoryOperations) -> list[Invariant]:
    found = await operations.audit()
    return [
        Invariant("inventory", one.name, one.sentence, one.violations, one.examples, found.checked_at)
        for one in found.invariants
    ]
