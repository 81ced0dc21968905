"""Read-only actions change nothing and return the same twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.follow_order import follow_order
from autogrocery.gateway.actions.view_catalog import view_catalog
from autogrocery.gateway.actions.view_metrics_log import MetricsLogQuery, view_metrics_log
from autogrocery.gateway.actions.view_orders import view_events, view_last_order, view_order, view_orders
from autogrocery.gateway.actions.view_shortfalls import EndedOrdersIn, view_shortfalls
from autogrocery.gateway.store import metrics_log
from autogrocery.gateway.wire.orders import CatalogQuery, OrdersQuery
from tests.proofs.battery.environment import check_final_state, outcome_of, snapshot
from tests.proofs.battery.states import STATES

if TYPE_CHECKING:
    from uuid import UUID

    from tests.harness.gateway_actions import GatewayActions

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read_all(gateway: GatewayActions, order_id: UUID) -> list[object]:
    db, user_id = gateway.db, gateway.user_id
    found: list[object] = [
        await outcome_of(view_order(db, user_id, order_id)),
        await outcome_of(view_last_order(db, user_id)),
        await view_orders(db, user_id, OrdersQuery()),
        await outcome_of(view_events(db, user_id, order_id)),
        await view_metrics_log(db, "mart-test", MetricsLogQuery()),
        await view_metrics_log(db, "mart-test", MetricsLogQuery(gateway.metrics.epoch)),
        await view_shortfalls(db, EndedOrdersIn([order_id])),
        (await view_catalog(gateway.inventory, gateway.pricing, CatalogQuery())).data,
        (await audit(db)).clean,
    ]
    async for event in follow_order(db, user_id, order_id):
        found.append(event)
        break
    return [f"{one!r}" for one in found]


@pytest.mark.parametrize("state", [state for state in STATES if state != "nothing"])
async def test_reading_changes_nothing_and_returns_the_same_twice(gateway: GatewayActions, state: str) -> None:
    order_id = await STATES[state](gateway)
    before = await snapshot(gateway, order_id)
    first = await read_all(gateway, order_id)
    assert await read_all(gateway, order_id) == first
    assert await snapshot(gateway, order_id) == before
    (mine,) = [
        event for event in (await view_events(gateway.db, gateway.user_id, order_id)).events.data if event.version == 1
    ]
    assert mine.to_status == "PREVIEWED"
    page = await metrics_log.page(gateway.db, gateway.metrics.epoch, 0)
    logged = [(one.version, one.to_status.value) for one in page.changes if one.order_id == order_id]
    assert logged == before.published
    await check_final_state(gateway, order_id)
