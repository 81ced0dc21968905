"""Complete: commit how the robots finished an order, as a webhook reports it, or the reconciler finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import TERMINAL, Fact, Order, Robot, Status, WebhookDelivery, compute_result
from autogrocery.gateway.store import inbox, orders, transitions
from autogrocery.kit.errors import Conflict, InDoubt, NotFound, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore


class CompleteResult(Struct, frozen=True):
    """`applied`: this call finished the order; `status` is the order's now."""

    applied: bool
    status: Status


class Report(Struct, frozen=True):
    """Inventory's report of a finished order; `picked` None means everything."""

    fact: Fact
    picked: Mapping[str, int] | None
    robots: Sequence[Robot] | None
    delivery: WebhookDelivery | None


async def complete(
    store: OrderStore,
    inventory: Inventory,
    metrics: Metrics,
    order_id: UUID,
    fact: Fact,
    *,
    picked: Mapping[str, int] | None = None,
    robots: Sequence[Robot] | None = None,
    delivery: WebhookDelivery | None = None,
) -> CompleteResult:
    """Commit that the order was picked, or that nothing was.

    Three paths, each taken only if the one before changed no row: the order as cached, the order as read, and the
    order that no confirm has left a trace of. Raises NotFound(order_not_found), Conflict(not_dispatched,
    webhook_differs), Invalid and Unavailable; after none of them is anything stored.
    """
    report = Report(fact, picked, robots, delivery)
    cached = store.cache.get(order_id)
    if cached is not None and (done := await _finish(store, metrics, cached, report)):
        return done
    return await _complete_dispatched(store, metrics, order_id, report) or await _complete_unconfirmed(
        store, inventory, metrics, order_id, report
    )


async def _complete_dispatched(
    store: OrderStore, metrics: Metrics, order_id: UUID, report: Report
) -> CompleteResult | None:
    """Finish an order that is PROCESSING or has an intent; None if it is an idle preview, or has changed."""
    order = await _get(store, order_id)
    if order.status in TERMINAL:
        return await _repeat(store, order, report)
    return await _finish(store, metrics, order, report)


async def _complete_unconfirmed(
    store: OrderStore, inventory: Inventory, metrics: Metrics, order_id: UUID, report: Report
) -> CompleteResult:
    """Finish an order that no confirm has left a trace of, if robots have it at inventory."""
    order = await _get(store, order_id)
    if order.status in TERMINAL:
        return await _repeat(store, order, report)
    if order.status is Status.PREVIEWED:
        await _require_dispatch(inventory, order_id)
    done = await _finish(store, metrics, order, report, even_if_idle=True)
    if done is None:
        raise Unavailable("order_busy", "the order changed meanwhile")
    return done


async def _finish(
    store: OrderStore, metrics: Metrics, order: Order, report: Report, *, even_if_idle: bool = False
) -> CompleteResult | None:
    """Commit the result and publish its metrics; None if the row's guard refuses."""
    result = compute_result(order, report.fact, report.picked)
    changes = await transitions.finish(
        store,
        order.order_id,
        result,
        robots=report.robots,
        even_if_idle=even_if_idle,
        delivery=report.delivery,
        number=metrics.reserve_numbers(2 if order.status is Status.PREVIEWED else 1),
    )
    if not changes:
        return None
    await metrics.publish(changes)
    log.info("order_finished", order_id=str(order.order_id), status=result.status, outcome=result.outcome)
    return CompleteResult(applied=True, status=result.status)


async def _get(store: OrderStore, order_id: UUID) -> Order:
    order = await orders.get(store.db, order_id)
    if order is None:
        raise NotFound("order_not_found", "no such order")
    return order


async def _repeat(store: OrderStore, order: Order, report: Report) -> CompleteResult:
    """Return the status of an ended order; raises Conflict if the webhook's id came before with another body."""
    if report.delivery and not await inbox.remember(store.db, order.order_id, report.delivery):
        raise Conflict("webhook_differs", "this webhook id was delivered before with another body")
    return CompleteResult(applied=False, status=order.status)


async def _require_dispatch(inventory: Inventory, order_id: UUID) -> None:
    """Raise Conflict(not_dispatched) unless robots have the order at inventory, Unavailable without a clear answer."""
    try:
        report = await inventory.get_order(order_id)
    except InDoubt as doubt:
        raise Unavailable("inventory_unavailable", "inventory gave no clear answer") from doubt
    if not report.assigned:
        raise Conflict("not_dispatched", "inventory itself says that no robots have this order")
