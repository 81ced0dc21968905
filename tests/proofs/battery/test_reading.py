"""Who only looks changes nothing, and is told the same twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.follow_order import follow_order
from autogrocery.gateway.actions.view_catalog import view_catalog
from autogrocery.gateway.actions.view_metrics_log import MetricsLogQuery, view_metrics_log
from autogrocery.gateway.actions.view_orders import view_events, view_last_order, view_order, view_orders
from autogrocery.gateway.store import metrics_log
from autogrocery.gateway.wire.orders import CatalogQuery, OrdersQuery
from tests.proofs.battery.stage import attempt, settle, trace
from tests.proofs.battery.states import MAKERS

if TYPE_CHECKING:
    from uuid import UUID

    from tests.harness.gateway_actions import House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def look(house: House, order_id: UUID) -> list[object]:
    db, user_id = house.db, house.user_id
    found: list[object] = [
        await attempt(view_order(db, user_id, order_id)),
        await attempt(view_last_order(db, user_id)),
        await view_orders(db, user_id, OrdersQuery()),
        await attempt(view_events(db, user_id, order_id)),
        await view_metrics_log(db, "mart-test", MetricsLogQuery()),
        await view_metrics_log(db, "mart-test", MetricsLogQuery(house.metrics.epoch)),
        (await view_catalog(house.inventory, house.pricing, CatalogQuery())).data,
        (await audit(db)).clean,
    ]
    async for event in follow_order(db, user_id, order_id):
        found.append(event)
        break
    return [f"{one!r}" for one in found]


@pytest.mark.parametrize("state", [state for state in MAKERS if state != "nothing"])
async def test_looking_changes_nothing_and_says_the_same_twice(house: House, state: str) -> None:
    order_id = await MAKERS[state](house)
    before = await trace(house, order_id)
    first = await look(house, order_id)
    assert await look(house, order_id) == first
    assert await trace(house, order_id) == before
    (mine,) = [event for event in (await view_events(house.db, house.user_id, order_id))[0].data if event.version == 1]
    assert mine.to_status == "PREVIEWED"
    page = await metrics_log.page(house.db, house.metrics.epoch, 0)
    logged = [(one.version, one.to_status.value) for one in page.changes if one.order_id == order_id]
    assert logged == before.told
    await settle(house, order_id)
