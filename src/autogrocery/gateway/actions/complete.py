"""Complete: inventory says that the robots are done. By webhook, and by the reconciler when the webhook got lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.order import TERMINAL, Fact, Order, Status, settle
from autogrocery.gateway.store import hints, inbox, moves, orders
from autogrocery.kit.errors import Conflict, InDoubt, NotFound, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from autogrocery.gateway.core.order import Robot
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.moves import Delivery
    from autogrocery.kit.pg.db import Db


async def complete(
    db: Db,
    inventory: Inventory,
    metrics: Metrics,
    order_id: UUID,
    fact: Fact,
    *,
    picked: Mapping[str, int] | None = None,
    robots: Sequence[Robot] | None = None,
    delivery: Delivery | None = None,
    alert_completed: bool = False,
) -> tuple[bool, Status]:
    """Commit that the order was picked, or that nothing was; returns whether this call did it, and the status now.

    With `alert_completed` a device that asked for it has an alert even if all was picked.
    Raises NotFound(order_not_found), Conflict(not_dispatched, webhook_differs), Invalid and Unavailable; after none of
    them is anything remembered.
    """
    hint = hints.recall(db, order_id)
    for even_if_idle in (False, True) if hint is None else (False, False, True):
        order, hint = hint or await orders.get(db, order_id), None
        if order is None:
            raise NotFound("order_not_found", "no such order")
        if order.status in TERMINAL:
            return await _known(db, order, delivery)
        if even_if_idle and order.status is Status.PREVIEWED:
            await _require_dispatch(inventory, order_id)
        settlement = settle(order, fact, picked)
        changes = await moves.finish(
            db,
            order_id,
            settlement,
            robots=robots,
            even_if_idle=even_if_idle,
            delivery=delivery,
            alert_completed=alert_completed,
            number=metrics.take(2 if order.status is Status.PREVIEWED else 1),
        )
        if changes:
            hints.forget(db, order_id)
            await metrics.tell(changes)
            log.info("order_finished", order_id=str(order_id), status=settlement.status, outcome=settlement.outcome)
            return True, settlement.status
    raise Unavailable("order_busy", "the order changed meanwhile")


async def _known(db: Db, order: Order, delivery: Delivery | None) -> tuple[bool, Status]:
    """Answer a status for an order that has ended already: the same as before, or a conflict if the id came with another body."""
    if delivery and not await inbox.remember(db, order.order_id, delivery):
        raise Conflict("webhook_differs", "this webhook id was delivered before with another body")
    return False, order.status


async def _require_dispatch(inventory: Inventory, order_id: UUID) -> None:
    """Believe a webhook about an order that nobody confirmed only if inventory itself says that robots have it."""
    try:
        standing = await inventory.get_order(order_id)
    except InDoubt as doubt:
        raise Unavailable("inventory_unavailable", "inventory gave no clear answer") from doubt
    if not standing.assigned:
        raise Conflict("not_dispatched", "inventory itself says that no robots have this order")
