"""The metrics log: numbers are reserved before a write, stored by it, and void if it failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.actions.view_metrics_log import MetricsLogQuery, view_metrics_log
from autogrocery.gateway.core.restock import RestockFact
from autogrocery.gateway.store import metrics_log
from autogrocery.kit.errors import Invalid
from tests.harness.truck_actions import goods, open_truck

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import GatewayActions


async def test_the_log_equals_the_published_frames(gateway: GatewayActions) -> None:
    order = await gateway.preview(milk=2)
    await gateway.confirm(order.order_id)
    await gateway.complete(order.order_id, picked={"milk": 1})
    (epoch,) = await metrics_log.list_epochs(gateway.db)
    assert (epoch.epoch, epoch.last_sequence) == (gateway.metrics.epoch, 3)
    page = await view_metrics_log(gateway.db, "mart-test", MetricsLogQuery(epoch=gateway.metrics.epoch))
    assert page == {"metrics": gateway.sent, "void": [], "next_after": 3}
    assert gateway.sent[-1].duration_seconds > 0
    assert [m.total_cents for m in gateway.sent] == [258, 258, 129]


async def test_a_number_is_void_only_when_a_later_one_is_old(gateway: GatewayActions) -> None:
    await gateway.preview()
    gateway.metrics.reserve_numbers(2)
    await gateway.preview(bread=1)
    young = await metrics_log.page(gateway.db, gateway.metrics.epoch, 0)
    assert ([change.number.sequence for change in young.changes], young.void, young.next_after) == ([1, 4], [], 1)
    old = await metrics_log.page(gateway.db, gateway.metrics.epoch, 0, final_after_s=-1)
    assert (old.void, old.next_after) == ([2, 3], 4)
    rest = await metrics_log.page(gateway.db, gateway.metrics.epoch, 3, final_after_s=-1)
    assert ([change.number.sequence for change in rest.changes], rest.void, rest.next_after) == ([4], [], 4)


async def test_an_epoch_without_a_change_is_listed_at_zero(gateway: GatewayActions) -> None:
    assert [(one.epoch, one.last_sequence) for one in await metrics_log.list_epochs(gateway.db)] == [
        (gateway.metrics.epoch, 0)
    ]


async def test_restocks_and_orders_share_one_metrics_log(gateway: GatewayActions) -> None:
    truck = await open_truck(gateway)
    await gateway.preview(milk=2)
    await truck.restock(truck.manifest("m-1", goods(quantity=1_000_000)))
    await gateway.preview(bread=1)
    await truck.update(truck.id_of(truck.manifest()), RestockFact.SHELVED, {})
    (epoch,) = await metrics_log.list_epochs(gateway.db)
    assert (epoch.epoch, epoch.last_sequence) == (gateway.metrics.epoch, 5)
    page = await view_metrics_log(gateway.db, "mart-test", MetricsLogQuery(epoch=gateway.metrics.epoch))
    assert page == {"metrics": gateway.sent, "void": [], "next_after": 5}
    last = gateway.sent[-1]
    assert (last.status, last.total_cents, last.item_count, last.line_count) == ("RECEIVED", 0, 65_535, 1)
    assert last.duration_seconds > 0
    tail = await metrics_log.page(gateway.db, gateway.metrics.epoch, 3)
    assert [change.number.sequence for change in tail.changes] == [4, 5]


async def test_an_epoch_that_has_run_for_weeks_is_listed_while_it_has_changes(gateway: GatewayActions) -> None:
    await metrics_log.add_epoch(gateway.db, 7)
    await gateway.db.run("UPDATE metric_epochs SET started_at = now() - interval '30 days'")
    assert await metrics_log.list_epochs(gateway.db) == []
    assert {one.epoch for one in await metrics_log.list_epochs(gateway.db, since_s=0)} == {7, gateway.metrics.epoch}
    await gateway.preview()
    expected = [metrics_log.Epoch(gateway.metrics.epoch, 1)]
    assert await metrics_log.list_epochs(gateway.db) == expected
    answer = await view_metrics_log(gateway.db, "mart-test", MetricsLogQuery(since=int(time.time()) - 60))
    assert answer == {"epochs": expected}


async def test_since_with_an_epoch_is_refused(gateway: GatewayActions) -> None:
    with pytest.raises(Invalid):
        await view_metrics_log(gateway.db, "mart-test", MetricsLogQuery(epoch=1, since=1))
