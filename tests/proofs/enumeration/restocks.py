"""The deeds of restocks that are broken at every point, as those of orders are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from autogrocery.gateway.actions.restock import restock
from autogrocery.gateway.actions.update_restock import update_restock
from autogrocery.gateway.core.restock import Goods, Manifest, RestockFact, RestockStatus, is_settled, restock_id_of
from autogrocery.gateway.store import restocks
from autogrocery.gateway.store.moves import Delivery
from autogrocery.kit.process.clock import now
from tests.proofs.enumeration.deeds import Scenario
from tests.proofs.enumeration.orders import a_turn_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.proofs.enumeration.deeds import Subject
    from tests.proofs.enumeration.stage import Stage

RECEIVING, RECEIVED, REJECTED = RestockStatus.RECEIVING, RestockStatus.RECEIVED, RestockStatus.REJECTED
DOWN = grpc.StatusCode.UNAVAILABLE
COUNTS = (7, 2)


def manifest(one: Subject) -> Manifest:
    """A delivery of goods that nobody else brings."""
    today = now().date()
    goods = Goods(f"goods-{one.user_id}", "Goods", "dairy", 9, today, today + timedelta(days=9), 100)
    return Manifest(f"supplier-{one.user_id}", "Supplier", "m-1", (goods,))


def id_of(one: Subject) -> UUID:
    return restock_id_of(one.user_id, manifest(one), None)


def counts_of(one: Subject) -> dict[str, tuple[int, int]]:
    return {manifest(one).goods[0].sku: COUNTS}


async def do_restock(stage: Stage, one: Subject) -> object:
    deps, what = stage.deps, manifest(one)
    found, _ = await restock(deps.db, deps.inventory, deps.pricing, deps.metrics, one.user_id, what, one.key)
    return found, is_settled(found)


async def do_restock_in_doubt(stage: Stage, one: Subject) -> object:
    """Inventory takes it and gives no clear answer; a promise stays written down."""
    stage.shelf.trouble, stage.shelf.after_effect = {"RestockItems": DOWN}, True
    try:
        return await do_restock(stage, one)
    finally:
        stage.shelf.trouble, stage.shelf.after_effect = {}, False


async def do_webhook(stage: Stage, one: Subject) -> object:
    delivery = Delivery(f"msg-{one.key}", b"\1" * 32)
    return await update_restock(
        stage.deps.db, stage.deps.metrics, id_of(one), RestockFact.SHELVED, counts_of(one), delivery=delivery
    )


async def a_truck(stage: Stage, one: Subject) -> None:
    await stage.db.run(
        "UPDATE smart_devices SET kind = 'truck', supplier_id = $2 WHERE id = $1",
        one.user_id,
        manifest(one).supplier_id,
    )


async def an_unwanted_truck(stage: Stage, one: Subject) -> None:
    await a_truck(stage, one)
    stage.shelf.unwanted.add(manifest(one).supplier_id)


async def announced_in_doubt(stage: Stage, one: Subject) -> None:
    await a_truck(stage, one)
    await do_restock_in_doubt(stage, one)
    await due(stage, one)


async def received_unpriced(stage: Stage, one: Subject) -> None:
    await a_truck(stage, one)
    stage.prices.trouble = DOWN
    try:
        await do_restock(stage, one)
    finally:
        stage.prices.trouble = None
    stage.shelf.put_away(str(id_of(one)), counts_of(one))
    await do_webhook(stage, one)
    await due(stage, one)


async def shelved(stage: Stage, one: Subject) -> None:
    await a_truck(stage, one)
    await do_restock(stage, one)
    stage.shelf.put_away(str(id_of(one)), counts_of(one))


async def shelved_unheard(stage: Stage, one: Subject) -> None:
    """All is put away, and the webhook got lost."""
    await shelved(stage, one)
    await due(stage, one)


async def shelved_before_the_answer(stage: Stage, one: Subject) -> None:
    await announced_in_doubt(stage, one)
    stage.shelf.put_away(str(id_of(one)), counts_of(one))


async def due(stage: Stage, one: Subject) -> None:
    await stage.db.run("UPDATE restock_orders SET due_at = now() WHERE order_id = $1", id_of(one))


def _ends(status: RestockStatus) -> Callable[[Stage, Subject, bool], Awaitable[list[str]]]:
    """The restock comes to rest there, with as many arrivals, costs and counts as that means, and owes nothing."""

    async def rest(stage: Stage, one: Subject, insisted: bool) -> list[str]:
        order_id = id_of(one)
        row = await restocks.get(stage.db, order_id)
        if row is None:
            return ["there is no restock"] if insisted else []
        wrong = [] if row.status is status else [f"ended {row.status}"]
        sku, accepted = row.lines[0].goods.sku, row.status is not REJECTED
        seen = (stage.shelf.arrivals[str(order_id)], stage.prices.costs.get(sku), row.intent)
        if seen != (int(accepted), 100 if accepted else None, None):
            wrong.append(f"{row.status} with arrivals, cost and intent {seen}")
        counts = (row.lines[0].received, row.lines[0].damaged)
        if counts != (COUNTS if row.status is RECEIVED else (0, 0)):
            wrong.append(f"{row.status} with counts {counts}")
        return wrong

    return rest


RESTOCKS = (
    Scenario("restock", do_restock, a_truck, _ends(RECEIVING)),
    Scenario("restock in doubt", do_restock_in_doubt, a_truck, _ends(RECEIVING)),
    Scenario("restock refused", do_restock, an_unwanted_truck, _ends(REJECTED), frozenset({"restock_refused"})),
    Scenario("sweep a restock", a_turn_of("restock_sweeper"), announced_in_doubt, _ends(RECEIVING)),
    Scenario("sweep a price", a_turn_of("restock_sweeper"), received_unpriced, _ends(RECEIVED)),
    Scenario("restock webhook", do_webhook, shelved, _ends(RECEIVED)),
    Scenario("restock webhook before the answer", do_webhook, shelved_before_the_answer, _ends(RECEIVED)),
    Scenario("reconcile a restock", a_turn_of("restock_reconciler"), shelved_unheard, _ends(RECEIVED)),
)
