"""Robots' reported picks, by the ids of their orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autogrocery.contracts.inventory.picks.v1 import picks_pb2
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.status import Code
from tests.harness.grpc_client import DEADLINE_S, code_of
from tests.harness.running_inventory import Picked, new

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory


def history(inventory: RunningInventory, *order_ids: str) -> Any:
    stub = stub_of(inventory.channel, picks_pb2.DESCRIPTOR.services_by_name["PickHistoryService"])
    return stub.ListPicks(picks_pb2.ListPicksRequest(order_ids=order_ids), timeout_s=DEADLINE_S)


async def test_picks_of_ended_orders_name_robot_aisle_units_and_what_was_short(inventory: RunningInventory) -> None:
    order, assignments = await inventory.dispatch(milk=2, yoghurt=1, apple=3)
    running, _ = await inventory.dispatch(milk=1)
    by_aisle = {one.aisle: one for one in assignments}
    await inventory.pick(by_aisle["produce"])
    assert not (await history(inventory, order)).picks
    await inventory.pick(by_aisle["dairy"], Picked.SHORT, milk=1, yoghurt=1)
    reply = await history(inventory, order, running, new())
    found = {
        one.aisle: (one.order_id, one.robot_id, one.units, one.picked, list(one.short_skus)) for one in reply.picks
    }
    assert found == {
        "produce": (order, "produce-1", 3, 3, []),
        "dairy": (order, "dairy-1", 3, 2, ["milk"]),
    }
    for one in reply.picks:
        assert 0 < one.assigned_at.ToMicroseconds() <= one.closed_at.ToMicroseconds()
    assert await history(inventory, order, running) == reply


async def test_wrong_order_ids_are_refused(inventory: RunningInventory) -> None:
    assert await code_of(history(inventory)) == Code.INVALID_ARGUMENT
    assert await code_of(history(inventory, "x")) == Code.INVALID_ARGUMENT
    assert await code_of(history(inventory, *[new()] * 201)) == Code.INVALID_ARGUMENT
