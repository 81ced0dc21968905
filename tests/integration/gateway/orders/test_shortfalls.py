"""What ended orders and deliveries lack, from the real tables."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from autogrocery.gateway.actions.view_shortfalls import EndedOrdersIn, view_shortfalls
from autogrocery.gateway.core.restock import RestockFact
from tests.harness.truck_actions import goods, open_truck

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import GatewayActions


async def test_short_lines_cost_what_the_order_was_quoted_and_not_charged(gateway: GatewayActions) -> None:
    short = await gateway.preview(milk=3, bread=2)
    full = await gateway.preview(milk=1)
    running = await gateway.preview(milk=1)
    for order in (short, full, running):
        await gateway.confirm(order.order_id)
    await gateway.complete(short.order_id, picked={"milk": 1, "bread": 2})
    await gateway.complete(full.order_id, picked={"milk": 1})
    ids = [short.order_id, full.order_id, running.order_id, uuid4()]
    found = await view_shortfalls(gateway.db, EndedOrdersIn(ids))
    (line,) = found.short_lines
    assert (line.order_id, line.sku, line.granted, line.picked) == (short.order_id, "milk", 3, 1)
    metrics = [one for one in gateway.sent if one.order_id == str(short.order_id)]
    lost_cents = (line.granted - line.picked) * line.unit_price_cents
    assert lost_cents == metrics[0].total_cents - metrics[-1].total_cents > 0
    assert line.ended_at == metrics[-1].occurred_at_us
    assert found.delivered == []
    assert await view_shortfalls(gateway.db, EndedOrdersIn(ids)) == found


async def test_deliveries_are_told_by_aisle_once_they_are_received(gateway: GatewayActions) -> None:
    truck = await open_truck(gateway)
    manifest = truck.manifest("m-1", goods(quantity=20), goods(sku="yoghurt", quantity=5))
    await truck.restock(manifest)
    order_id = truck.id_of(manifest)
    asked = EndedOrdersIn([order_id])
    assert (await view_shortfalls(gateway.db, asked)).delivered == []
    await truck.update(order_id, RestockFact.SHELVED, {"milk": (18, 1), "yoghurt": (6, 0)})
    found = await view_shortfalls(gateway.db, asked)
    (one,) = found.delivered
    assert (one.announced, one.received, one.damaged, one.missing, one.surplus) == (25, 24, 1, 2, 1)
    assert found.short_lines == []
