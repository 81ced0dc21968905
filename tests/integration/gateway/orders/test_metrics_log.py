"""Numbers: taken before the write, stored by the write, void if the write failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.view_metrics_log import MetricsLogQuery, view_metrics_log
from autogrocery.gateway.core.restock import RestockFact
from autogrocery.gateway.store import metrics_log
from tests.harness.fake_depot import goods, open_depot

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import House


async def test_the_log_tells_what_the_frames_told(house: House) -> None:
    order = await house.preview(milk=2)
    await house.confirm(order.order_id)
    await house.complete(order.order_id, picked={"milk": 1})
    (epoch,) = await metrics_log.list_epochs(house.db)
    assert (epoch.epoch, epoch.last_sequence) == (house.metrics.epoch, 3)
    page = await view_metrics_log(house.db, "mart-test", MetricsLogQuery(epoch=house.metrics.epoch))
    assert page == {"metrics": house.sent, "void": [], "next_after": 3}
    assert house.sent[-1].duration_seconds > 0
    assert [m.total_cents for m in house.sent] == [258, 258, 129]


async def test_a_number_is_void_only_when_a_later_one_is_old(house: House) -> None:
    await house.preview()
    house.metrics.take(2)
    await house.preview(bread=1)
    young = await metrics_log.page(house.db, house.metrics.epoch, 0)
    assert ([change.number.sequence for change in young.changes], young.void, young.next_after) == ([1, 4], [], 1)
    old = await metrics_log.page(house.db, house.metrics.epoch, 0, final_after_s=-1)
    assert (old.void, old.next_after) == ([2, 3], 4)
    rest = await metrics_log.page(house.db, house.metrics.epoch, 3, final_after_s=-1)
    assert ([change.number.sequence for change in rest.changes], rest.void, rest.next_after) == ([4], [], 4)


async def test_an_epoch_without_a_change_is_listed_at_zero(house: House) -> None:
    assert [(one.epoch, one.last_sequence) for one in await metrics_log.list_epochs(house.db)] == [
        (house.metrics.epoch, 0)
    ]


async def test_restocks_and_orders_share_one_log_of_metrics(house: House) -> None:
    depot = await open_depot(house)
    await house.preview(milk=2)
    await depot.restock(depot.manifest("m-1", goods(quantity=1_000_000)))
    await house.preview(bread=1)
    await depot.update(depot.id_of(depot.manifest()), RestockFact.SHELVED, {})
    (epoch,) = await metrics_log.list_epochs(house.db)
    assert (epoch.epoch, epoch.last_sequence) == (house.metrics.epoch, 5)
    page = await view_metrics_log(house.db, "mart-test", MetricsLogQuery(epoch=house.metrics.epoch))
    assert page == {"metrics": house.sent, "void": [], "next_after": 5}
    last = house.sent[-1]
    assert (last.status, last.total_cents, last.item_count, last.line_count) == ("RECEIVED", 0, 65_535, 1)
    assert last.duration_seconds > 0
    tail = await metrics_log.page(house.db, house.metrics.epoch, 3)
    assert [change.number.sequence for change in tail.changes] == [4, 5]
