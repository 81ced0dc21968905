"""The cache of orders saves reads and never decides: a guarded write or a read does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import msgspec
import pytest

from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.store import orders
from autogrocery.gateway.store.order_store import MAX_IDLE_PREVIEWS, OrderCache, OrderStore, now_s
from autogrocery.kit.errors import Conflict, Gone, NotFound
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.faults import arm

if TYPE_CHECKING:
    from tests.harness.gateway_actions import GatewayActions


async def test_preview_confirm_and_webhook_run_one_statement_each(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    seen = []
    for step in (gateway.preview(), gateway.confirm(order.order_id), gateway.complete(order.order_id)):
        with arm() as calls:
            await step  # type: ignore[misc]
        seen.append({point: count for point, count in calls.items() if point in {"orders.read", "orders.write"}})
    assert seen == [{"orders.write": 1}] * 3


async def test_confirm_at_another_gateway_reads_the_order(gateway: GatewayActions, gateway_dsn: str) -> None:
    order = await gateway.preview()
    async with open_db(gateway_dsn, application="other") as other:
        with arm() as calls:
            done = await confirm(OrderStore(other), gateway.inventory, gateway.metrics, gateway.user_id, order.order_id)
    assert (done.order.status, done.in_doubt) == (Status.PROCESSING, False)
    assert calls["orders.get_of_device"] == 1


async def test_confirm_of_a_cached_order_that_another_gateway_cancelled_is_refused_without_a_dispatch(
    gateway: GatewayActions, gateway_dsn: str
) -> None:
    order = await gateway.preview()
    async with open_db(gateway_dsn, application="other") as other:
        await cancel(OrderStore(other), gateway.inventory, gateway.metrics, gateway.user_id, order.order_id)
    assert gateway.cache.get(order.order_id) is not None
    with pytest.raises(Conflict) as refused:
        await gateway.confirm(order.order_id)
    assert refused.value.code == "order_cancelled"
    assert gateway.fake_inventory.dispatches[str(order.order_id)] == 0


async def test_confirm_of_another_devices_cached_order_is_not_found(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    with pytest.raises(NotFound):
        await confirm(gateway.store, gateway.inventory, gateway.metrics, gateway.user_id + 1, order.order_id)


async def test_an_expired_entry_is_read_from_the_database(gateway: GatewayActions) -> None:
    before_s = now_s()
    order = await gateway.preview(ttl_s=60)
    assert before_s + 60 <= gateway.cache._orders[order.order_id].valid_until_s <= now_s() + 60
    await gateway.db.run("UPDATE grocery_orders SET expires_at = now()")
    gateway.cache.put(order, valid_until_s=now_s())
    with pytest.raises(Gone):
        await gateway.confirm(order.order_id)
    assert gateway.fake_inventory.calls["AssignRobots"] == 0


async def test_quota_is_looked_up_unless_the_device_is_known_to_have_no_other_idle_preview(
    gateway: GatewayActions,
) -> None:
    first = await gateway.preview()
    assert gateway.cache.may_exceed_quota(gateway.user_id, first.order_id)  # nothing is known of it yet
    second = await gateway.preview()
    assert gateway.cache.may_exceed_quota(gateway.user_id, second.order_id)
    for order in (first, second):
        await gateway.confirm(order.order_id)
    third = await gateway.preview()
    assert not gateway.cache.may_exceed_quota(gateway.user_id, third.order_id)
    fourth = await gateway.preview()
    assert gateway.cache.may_exceed_quota(gateway.user_id, fourth.order_id)


async def test_idle_previews_of_one_device_are_bounded(gateway: GatewayActions) -> None:
    orders_made = [await gateway.preview() for _ in range(3)]
    for _ in range(20):
        for order in orders_made:
            assert gateway.cache.may_exceed_quota(order.user_id, uuid7())
    assert len(gateway.cache._idle[gateway.user_id]) <= MAX_IDLE_PREVIEWS


async def test_a_finished_order_is_dropped_from_the_cache(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    await gateway.confirm(order.order_id)
    await gateway.complete(order.order_id)
    assert gateway.cache.get(order.order_id) is None
    found = await orders.get(gateway.db, order.order_id)
    assert found is not None
    assert found.status is Status.COMPLETED


async def test_the_cache_is_bounded_and_drops_the_oldest_entry_first(gateway: GatewayActions) -> None:
    order, cache = await gateway.preview(), OrderCache(max_entries=2)
    a, b, c = (msgspec.structs.replace(order, order_id=uuid7(), status=Status.PROCESSING) for _ in range(3))
    for one in (a, b, a, c):
        cache.put(one)
    assert [cache.get(one.order_id) for one in (a, b, c)] == [a, None, c]
    cache.drop(a.order_id)
    assert cache.get(a.order_id) is None


@pytest.mark.parametrize("trouble", [None, grpc.StatusCode.UNAVAILABLE], ids=["clear answer", "in doubt"])
async def test_confirm_of_a_cached_order_whose_row_a_failover_lost_is_not_found(
    gateway: GatewayActions, trouble: grpc.StatusCode | None
) -> None:
    order = await gateway.preview()
    async with gateway.db.transaction() as tx:  # as an asynchronous standby does that takes over
        await tx.rows("SET LOCAL session_replication_role = replica")
        for table in ("order_history", "order_lines", "grocery_orders"):
            await tx.run(f"DELETE FROM {table} WHERE order_id = $1", order.order_id)
    gateway.fake_inventory.abort_with = {"AssignRobots": trouble} if trouble else {}
    with pytest.raises(NotFound):
        await gateway.confirm(order.order_id)
    gateway.fake_inventory.abort_with = {}
    with pytest.raises(NotFound):
        await gateway.confirm(order.order_id)
    assert gateway.cache.get(order.order_id) is None
