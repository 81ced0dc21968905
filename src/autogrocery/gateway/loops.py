"""The gateway's loops. Every gateway runs all of them; work is claimed with SKIP LOCKED, so that gateways share it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.refresh_disabled import refresh_disabled
from autogrocery.gateway.actions.send_alert import send_alert
from autogrocery.gateway.actions.send_receipt import send_receipt
from autogrocery.gateway.actions.submit_restock import submit_restock
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.alert import AlertEvent
from autogrocery.gateway.store import due, due_restocks, refresh_tokens
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process import clock
from autogrocery.kit.process.log import log
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from autogrocery.gateway.actions.send_alert import AlertLimits
    from autogrocery.gateway.core.order import Due
    from autogrocery.gateway.deps import AccountDeps, Deps
    from autogrocery.gateway.peers.sms import Sms
    from autogrocery.kit.pg.db import Db, Row
    from autogrocery.kit.process.background import BackgroundTasks
    from autogrocery.kit.rpc.client import Peer

MAX_CONCURRENT = 16
GIVE_UP_S = 24 * 3600.0
MESSAGES_AT_ONCE = (
    8  # receipts or alerts of one batch, all sent concurrently: the slowest ends before the batch's lease
)


def order_loops(deps: Deps) -> list[Loop]:
    """Return sweeper, expirer, reconciler and receipt relay."""
    db, orders, inventory, metrics = deps.db, deps.orders, deps.inventory, deps.metrics
    give_up_after_s = deps.settings.dispatch_patience_s

    async def sweep_due() -> bool:
        found = await due.claim_owed(db)
        return await _each(found, lambda one: sweep(orders, inventory, metrics, one, give_up_after_s=give_up_after_s))

    async def expire_due() -> bool:
        found = await due.claim_expired(db)
        return await _each(found, lambda one: expire(orders, inventory, metrics, one.order_id))

    async def reconcile_due() -> bool:
        found = await due.claim_silent(db, deps.reconcile_again_s)
        return await _each(found, lambda one: reconcile(orders, inventory, metrics, one.order_id))

    async def deliver(row: Row) -> str | None:
        return await send_receipt(db, deps.mail, row["order_id"], deps.settings.store_id)

    receipts = Outbox(db, "receipt_outbox", ("order_id",), deliver, give_up_after_s=GIVE_UP_S, batch=MESSAGES_AT_ONCE)
    sweeper = Loop("sweeper", 0.25, sweep_due)
    _hasten_on_recovery(deps.inventory.peer, sweeper, lambda: due.hasten(db), deps.background)
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
        return await _each(found, lambda one: submit_restock(db, inventory, pricing, metrics, one.order_id))

    async def reconcile_due() -> bool:
        found = await due_restocks.claim_silent(db, deps.reconcile_again_s)
        return await _each(found, lambda one: reconcile_restock(db, inventory, metrics, one.order_id))

    sweeper = Loop("restock_sweeper", 0.5, sweep_due)
    for peer in (inventory.peer, pricing.peer):
        _hasten_on_recovery(peer, sweeper, lambda: due_restocks.hasten(db), deps.background)
    return [sweeper, Loop("restock_reconciler", 5.0, reconcile_due)]


def alert_loop(db: Db, sms: Sms, store_id: str, limits: AlertLimits) -> Loop:
    """Return the relay of alerts; one that is a day late, quiet hours included, is given up."""

    async def deliver(row: Row) -> str | None:
        event = AlertEvent(row["event"])
        return await send_alert(db, sms, row["order_id"], event, store_id=store_id, limits=limits, at=clock.now())

    outbox = Outbox(
        db,
        "alert_outbox",
        ("order_id", "event"),
        deliver,
        give_up_after_s=GIVE_UP_S,
        batch=MESSAGES_AT_ONCE,
        types=("uuid", "text"),
    )
    return Loop("alerts", 1.0, outbox.relay)


def account_loops(accounts: AccountDeps) -> list[Loop]:
    """Return the loops that refresh the list of disabled accounts and delete expired refresh tokens."""
    db, verifiers = accounts.db, (accounts.device_verifier, accounts.operator_verifier)

    async def refresh_disabled_accounts() -> bool:
        await refresh_disabled(db, verifiers)
        return False

    async def delete_expired_tokens() -> bool:
        await refresh_tokens.delete_expired(db)
        return False

    return [
        Loop("disabled_accounts", 30.0, refresh_disabled_accounts),
        Loop("expired_tokens", 3_600.0, delete_expired_tokens),
    ]


def _hasten_on_recovery(
    peer: Peer, sweeper: Loop, make_due: Callable[[], Awaitable[int]], background: BackgroundTasks
) -> None:
    """On a peer's first answer after an outage, make all calls that it is owed due at once, and wake the sweeper."""
    previous = peer.on_recovery

    async def hasten() -> None:
        try:
            log.info("peer_recovered", peer=peer.name, loop=sweeper.name, due=await make_due())
        except Unavailable as trouble:
            log.warning("hasten_deferred", reason=trouble.code)
        sweeper.wake()

    def on_recovery() -> None:
        previous()
        background.start(hasten())

    peer.on_recovery = on_recovery


async def _each(found: Sequence[Due], verb: Callable[[Due], Awaitable[object]]) -> bool:
    """Apply `verb` to each, MAX_CONCURRENT at a time, each failing alone; True if the claim was full: ask again."""
    room = asyncio.Semaphore(MAX_CONCURRENT)

    async def one(item: Due) -> None:
        async with room:
            try:
                await verb(item)
            except (InDoubt, Unavailable) as trouble:
                log.info("order_deferred", order_id=str(item.order_id), reason=str(trouble))
            except Refused as refusal:
                log.error("order_refused", order_id=str(item.order_id), code=refusal.code)

    await asyncio.gather(*(one(item) for item in found))
    return len(found) == due.BATCH
