"""What the clock starts. Every gateway runs all of it; work is claimed with SKIP LOCKED, so more gateways share it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.send_alert import send_alert
from autogrocery.gateway.actions.send_receipt import send_receipt
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.actions.take_in import take_in
from autogrocery.gateway.core.alert import Occasion
from autogrocery.gateway.store import due, due_restocks
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process import clock
from autogrocery.kit.process.log import log
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from autogrocery.gateway.actions.send_alert import Manners
    from autogrocery.gateway.deps import Deps
    from autogrocery.gateway.peers.sms import Sms
    from autogrocery.kit.pg.db import Db, Row
    from autogrocery.kit.rpc.client import Peer

AT_ONCE = 16
GIVE_UP_S = 24 * 3600.0
LETTERS = 8  # a batch of receipts or alerts: all at once, so that the slowest server ends it within its lease and nobody sends beside us


def order_loops(deps: Deps) -> list[Loop]:
    """Return sweeper, expirer, reconciler and receipt relay."""
    db, inventory, metrics, patience_s = deps.db, deps.inventory, deps.metrics, deps.settings.dispatch_patience_s

    async def sweep_due() -> bool:
        return await _each(
            await due.claim_owed(db), lambda one: sweep(db, inventory, metrics, one, patience_s=patience_s)
        )

    async def expire_due() -> bool:
        return await _each(await due.claim_expired(db), lambda one: expire(db, inventory, metrics, one.order_id))

    async def reconcile_due() -> bool:
        found = await due.claim_silent(db, deps.reconcile_again_s)
        all_ends = deps.settings.alert_completed == "on"
        return await _each(found, lambda one: reconcile(db, inventory, metrics, one.order_id, alert_completed=all_ends))

    async def deliver(row: Row) -> str | None:
        return await send_receipt(db, deps.mail, row["order_id"], deps.settings.store_id)

    receipts = Outbox(db, "receipt_outbox", ("order_id",), deliver, give_up_after_s=GIVE_UP_S, batch=LETTERS)
    sweeper = Loop("sweeper", 0.25, sweep_due)
    _hasten_on_recovery(deps.inventory.peer, sweeper, lambda: due.hasten(db))
    return [
        sweeper,
        Loop("expirer", 1.0, expire_due),
        Loop("reconciler", 5.0, reconcile_due),
        Loop("receipts", 1.0, receipts.relay),
    ]


def restock_loops(deps: Deps) -> list[Loop]:
    """Return sweeper and reconciler of restocks."""
    db, inventory, pricing, metrics = deps.db, deps.inventory, deps.pricing, deps.metrics

    async def sweep_due() -> bool:
        found = await due_restocks.claim_owed(db)
        return await _each(found, lambda one: take_in(db, inventory, pricing, metrics, one.order_id))

    async def reconcile_due() -> bool:
        found = await due_restocks.claim_silent(db, deps.reconcile_again_s)
        return await _each(found, lambda one: reconcile_restock(db, inventory, metrics, one.order_id))

    sweeper = Loop("restock_sweeper", 0.5, sweep_due)
    for peer in (inventory.peer, pricing.peer):
        _hasten_on_recovery(peer, sweeper, lambda: due_restocks.hasten(db))
    return [sweeper, Loop("restock_reconciler", 5.0, reconcile_due)]


def alert_loop(db: Db, sms: Sms, store_id: str, manners: Manners) -> Loop:
    """Return the relay of alerts; one that is a day late, quiet hours included, is given up."""

    async def deliver(row: Row) -> str | None:
        occasion = Occasion(row["event"])
        return await send_alert(db, sms, row["order_id"], occasion, store_id=store_id, manners=manners, at=clock.now())

    outbox = Outbox(
        db,
        "alert_outbox",
        ("order_id", "event"),
        deliver,
        give_up_after_s=GIVE_UP_S,
        batch=LETTERS,
        types=("uuid", "text"),
    )
    return Loop("alerts", 1.0, outbox.relay)


def _hasten_on_recovery(peer: Peer, sweeper: Loop, make_due: Callable[[], Awaitable[int]]) -> None:
    """A peer's first answer after an outage makes all it is owed due at once, and wakes the sweeper."""
    hastening: set[asyncio.Task[None]] = set()
    others = peer.on_recovery

    async def hasten() -> None:
        try:
            log.info("peer_recovered", peer=peer.name, loop=sweeper.name, due=await make_due())
        except Unavailable as trouble:
            log.warning("hasten_deferred", reason=trouble.code)
        sweeper.wake()

    def on_recovery() -> None:
        others()
        task = asyncio.ensure_future(hasten())
        hastening.add(task)
        task.add_done_callback(hastening.discard)

    peer.on_recovery = on_recovery


async def _each(found: Sequence[due.Due], verb: Callable[[due.Due], Awaitable[object]]) -> bool:
    """Apply `verb` to all, AT_ONCE at a time, each failing alone; True if the claim was full, so there may be more."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: due.Due) -> None:
        async with room:
            try:
                await verb(item)
            except (InDoubt, Unavailable) as trouble:
                log.info("order_deferred", order_id=str(item.order_id), reason=str(trouble))
            except Refused as refusal:
                log.error("order_refused", order_id=str(item.order_id), code=refusal.code)

    await asyncio.gather(*(one(item) for item in found))
    return len(found) == due.BATCH
