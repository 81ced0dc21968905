"""What a process remembers of its orders saves reads, and never has the last word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import msgspec
import pytest

from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import may_hoard
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.store import hints, orders
from autogrocery.kit.errors import Conflict, Gone, NotFound
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.recent import Recent
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.process.faults import arm

if TYPE_CHECKING:
    from tests.harness.gateway_actions import House


async def test_the_happy_path_is_one_statement_a_request(house: House) -> None:
    order = await house.preview()
    seen = []
    for step in (house.preview(), house.confirm(order.order_id), house.complete(order.order_id)):
        with arm() as calls:
            await step  # type: ignore[misc]
        seen.append({point: count for point, count in calls.items() if point in {"orders.read", "orders.write"}})
    assert seen == [{"orders.write": 1}] * 3


async def test_another_gateway_reads_what_it_did_not_write(house: House, gateway_dsn: str) -> None:
    order = await house.preview()
    async with open_db(gateway_dsn, application="other") as other:
        with arm() as calls:
            confirmed, settled = await confirm(other, house.inventory, house.metrics, house.user_id, order.order_id)
    assert (confirmed.status, settled) == (Status.PROCESSING, True)
    assert calls["orders.get_of_device"] == 1


async def test_what_another_gateway_cancelled_is_not_dispatched_from_memory(house: House, gateway_dsn: str) -> None:
    order = await house.preview()
    async with open_db(gateway_dsn, application="other") as other:
        here, house.db = house.db, other
        await house.cancel(order.order_id)
        house.db = here
    assert hints.recall(house.db, order.order_id) is not None
    with pytest.raises(Conflict) as refused:
        await house.confirm(order.order_id)
    assert refused.value.code == "order_cancelled"
    assert house.shelf.dispatches[str(order.order_id)] == 0


async def test_a_remembered_order_is_its_own_devices_only(house: House) -> None:
    order = await house.preview()
    with pytest.raises(NotFound):
        await confirm(house.db, house.inventory, house.metrics, house.user_id + 1, order.order_id)


async def test_a_quote_whose_time_is_over_is_read_again(house: House) -> None:
    order = await house.preview(ttl_s=1)
    await asyncio.sleep(1.05)
    with pytest.raises(Gone):
        await house.confirm(order.order_id)
    assert house.shelf.calls["AssignRobots"] == 0


async def test_a_device_is_looked_up_unless_it_is_known_to_have_no_other_quote(house: House) -> None:
    first = await house.preview()
    assert may_hoard(house.db, first)  # nothing is known of it yet
    second = await house.preview()
    assert may_hoard(house.db, second)
    for order in (first, second):
        await house.confirm(order.order_id)
    third = await house.preview()
    assert not may_hoard(house.db, third)
    fourth = await house.preview()
    assert may_hoard(house.db, fourth)


async def test_of_a_device_that_hoards_no_more_is_remembered_than_that_it_does(house: House) -> None:
    orders_made = [await house.preview() for _ in range(3)]
    for _ in range(20):
        for order in orders_made:
            assert may_hoard(house.db, msgspec.structs.replace(order, order_id=uuid7()))
    assert len(house.db.recent.get(house.user_id) or ()) <= hints.MOST_IDLE


async def test_an_order_that_has_ended_is_forgotten(house: House) -> None:
    order = await house.preview()
    await house.confirm(order.order_id)
    await house.complete(order.order_id)
    assert hints.recall(house.db, order.order_id) is None
    found = await orders.get(house.db, order.order_id)
    assert found is not None
    assert found.status is Status.COMPLETED


def test_only_so_many_things_are_remembered_and_the_oldest_goes_first() -> None:
    recent: Recent[int] = Recent(most=2)
    for key in ("a", "b", "a", "c"):
        recent.keep(key, ord(key))
    assert [recent.get(key) for key in ("a", "b", "c")] == [97, None, 99]
    recent.forget("a")
    assert recent.get("a") is None


@pytest.mark.parametrize("trouble", [None, grpc.StatusCode.UNAVAILABLE], ids=["clear answer", "in doubt"])
async def test_an_order_whose_row_a_failover_lost_is_not_there(house: House, trouble: grpc.StatusCode | None) -> None:
    order = await house.preview()
    async with house.db.transaction() as tx:  # as an asynchronous standby does that takes over
        await tx.rows("SET LOCAL session_replication_role = replica")
        for table in ("order_history", "order_lines", "grocery_orders"):
            await tx.run(f"DELETE FROM {table} WHERE order_id = $1", order.order_id)
    house.shelf.trouble = {"AssignRobots": trouble} if trouble else {}
    with pytest.raises(NotFound):
        await house.confirm(order.order_id)
    house.shelf.trouble = {}
    with pytest.raises(NotFound):
        await house.confirm(order.order_id)
    assert hints.recall(house.db, order.order_id) is None
