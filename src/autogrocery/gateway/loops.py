"""The gateway's loops. Every gateway runs all of them; work is claimed with SKIP LOCKED, so that gateways share it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.ops.refresh_switches import refresh_switches
from autogrocery.gateway.actions.ops.store_peer_calls import store_peer_calls
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.refresh_disabled import refresh_disabled
from autogrocery.gateway.actions.submit_restock import submit_restock
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.store import due, due_restocks, refresh_tokens
from autogrocery.gateway.store.ops import peer_calls
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.process.log import log
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from autogrocery.gateway.core.order import Due
    from autogrocery.gateway.deps import AccountDeps, Deps
    from autogrocery.kit.process.background import BackgroundTasks
    from autogrocery.kit.rpc.client import Peer

MAX_CONCURRENT = 16


def order_loops(deps: Deps) -> list[Loop]:
    """Return sweeper, expirer and reconciler."""
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

    sweeper = Loop("sweeper", 0.25, sweep_due)
    _hasten_on_recovery(deps.inventory.peer, sweeper, lambda: due.hasten(db), deps.background)
    return [
        sweeper,
        Loop("expirer", 1.0, expire_due),
        Loop("reconciler", 5.0, reconcile_due),
    ]


def switch_loops(deps: Deps) -> list[Loop]:
    """Return the loop that reads the operator's switches, often enough that each is obeyed within a second."""

    async def refresh_board() -> bool:
        await refresh_switches(deps.db, deps.pricing, deps.switches)
        return False

    return [Loop("switches", 0.5, refresh_board)]


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


def operator_loops(deps: Deps) -> list[Loop]:
    """Return the loops that store the noteworthy calls to peers and delete old ones."""

    async def store_calls() -> bool:
        return await store_peer_calls(deps.db, deps.calls)

    async def delete_old_calls() -> bool:
        return await peer_calls.delete_old(deps.db) > 0

    return [Loop("peer_calls", 1.0, store_calls), Loop("old_peer_calls", 3_600.0, delete_old_calls)]


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
