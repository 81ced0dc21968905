"""Scenarios of restocks for fault injection at every point."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from autogrocery.gateway.actions.restock import restock
from autogrocery.gateway.actions.update_restock import update_restock
from autogrocery.gateway.core.order import WebhookDelivery
from autogrocery.gateway.core.restock import Goods, Manifest, RestockFact, RestockStatus, is_answered, restock_id_of
from autogrocery.gateway.store import restocks
from autogrocery.kit.process.clock import now
from tests.proofs.enumeration.order_scenarios import run_loop_named
from tests.proofs.enumeration.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.proofs.enumeration.gateway_environment import GatewayEnvironment
    from tests.proofs.enumeration.scenario import Subject

RECEIVING, RECEIVED, REJECTED = RestockStatus.RECEIVING, RestockStatus.RECEIVED, RestockStatus.REJECTED
DOWN = grpc.StatusCode.UNAVAILABLE
COUNTS = (7, 2)


def manifest(subject: Subject) -> Manifest:
    """Return a manifest with a SKU of the subject's own."""
    today = now().date()
    goods = Goods(f"goods-{subject.user_id}", "Goods", "dairy", 9, today, today + timedelta(days=9), 100)
    return Manifest(f"supplier-{subject.user_id}", "Supplier", "m-1", (goods,))


def id_of(subject: Subject) -> UUID:
    return restock_id_of(subject.user_id, manifest(subject), None)


def counts_of(subject: Subject) -> dict[str, tuple[int, int]]:
    return {manifest(subject).goods[0].sku: COUNTS}


async def do_restock(env: GatewayEnvironment, subject: Subject) -> object:
    deps, what = env.deps, manifest(subject)
    done = await restock(deps.db, deps.inventory, deps.pricing, deps.metrics, subject.user_id, what, subject.key)
    return done.restock, is_answered(done.restock)


async def do_restock_in_doubt(env: GatewayEnvironment, subject: Subject) -> object:
    """Restock with a lost reply of inventory, so that the restock stays promised."""
    env.fake_inventory.abort_with, env.fake_inventory.after_effect = {"RestockItems": DOWN}, True
    try:
        return await do_restock(env, subject)
    finally:
        env.fake_inventory.abort_with, env.fake_inventory.after_effect = {}, False


async def do_webhook(env: GatewayEnvironment, subject: Subject) -> object:
    delivery = WebhookDelivery(f"msg-{subject.key}", b"\1" * 32)
    return await update_restock(
        env.deps.db, env.deps.metrics, id_of(subject), RestockFact.SHELVED, counts_of(subject), delivery=delivery
    )


async def a_truck(env: GatewayEnvironment, subject: Subject) -> None:
    await env.db.run(
        "UPDATE smart_devices SET kind = 'truck', supplier_id = $2 WHERE id = $1",
        subject.user_id,
        manifest(subject).supplier_id,
    )


async def an_unwanted_truck(env: GatewayEnvironment, subject: Subject) -> None:
    await a_truck(env, subject)
    env.fake_inventory.refused_suppliers.add(manifest(subject).supplier_id)


async def announced_in_doubt(env: GatewayEnvironment, subject: Subject) -> None:
    await a_truck(env, subject)
    await do_restock_in_doubt(env, subject)
    await due(env, subject)


async def received_unpriced(env: GatewayEnvironment, subject: Subject) -> None:
    await a_truck(env, subject)
    env.fake_pricing.abort_with = DOWN
    try:
        await do_restock(env, subject)
    finally:
        env.fake_pricing.abort_with = None
    env.fake_inventory.put_away(str(id_of(subject)), counts_of(subject))
    await do_webhook(env, subject)
    await due(env, subject)


async def shelved(env: GatewayEnvironment, subject: Subject) -> None:
    await a_truck(env, subject)
    await do_restock(env, subject)
    env.fake_inventory.put_away(str(id_of(subject)), counts_of(subject))


async def shelved_without_webhook(env: GatewayEnvironment, subject: Subject) -> None:
    """Put everything away without a webhook."""
    await shelved(env, subject)
    await due(env, subject)


async def shelved_before_the_answer(env: GatewayEnvironment, subject: Subject) -> None:
    await announced_in_doubt(env, subject)
    env.fake_inventory.put_away(str(id_of(subject)), counts_of(subject))


async def due(env: GatewayEnvironment, subject: Subject) -> None:
    await env.db.run("UPDATE restock_orders SET due_at = now() WHERE order_id = $1", id_of(subject))


def _ends(status: RestockStatus) -> Callable[[GatewayEnvironment, Subject, bool], Awaitable[list[str]]]:
    """Require this status, with the arrivals, costs and counts that belong to it, and nothing owed."""

    async def check(env: GatewayEnvironment, subject: Subject, retried: bool) -> list[str]:
        order_id = id_of(subject)
        row = await restocks.get(env.db, order_id)
        if row is None:
            return ["there is no restock"] if retried else []
        failures = [] if row.status is status else [f"ended {row.status}"]
        sku, accepted = row.lines[0].goods.sku, row.status is not REJECTED
        seen = (env.fake_inventory.arrivals[str(order_id)], env.fake_pricing.costs.get(sku), row.intent)
        if seen != (int(accepted), 100 if accepted else None, None):
            failures.append(f"{row.status} with arrivals, cost and intent {seen}")
        counts = (row.lines[0].received, row.lines[0].damaged)
        if counts != (COUNTS if row.status is RECEIVED else (0, 0)):
            failures.append(f"{row.status} with counts {counts}")
        return failures

    return check


RESTOCKS = (
    Scenario("restock", do_restock, a_truck, _ends(RECEIVING)),
    Scenario("restock in doubt", do_restock_in_doubt, a_truck, _ends(RECEIVING)),
    Scenario("restock refused", do_restock, an_unwanted_truck, _ends(REJECTED), frozenset({"restock_refused"})),
    Scenario("sweep a restock", run_loop_named("restock_sweeper"), announced_in_doubt, _ends(RECEIVING)),
    Scenario("sweep a price", run_loop_named("restock_sweeper"), received_unpriced, _ends(RECEIVED)),
    Scenario("restock webhook", do_webhook, shelved, _ends(RECEIVED)),
    Scenario("restock webhook before the answer", do_webhook, shelved_before_the_answer, _ends(RECEIVED)),
    Scenario("reconcile a restock", run_loop_named("restock_reconciler"), shelved_without_webhook, _ends(RECEIVED)),
)
