"""Restock orders and putaways: leases, totals, when goods are on sale, and the webhooks to the gateway."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.robots.broadcast import decode
from autogrocery.contracts.webhook import UpdateRestock
from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.core.lots import lot_code
from autogrocery.inventory.store import lots, restock_webhooks
from autogrocery.inventory.store.putaway_reports import WEBHOOK_DELAY_S
from autogrocery.kit.bus import open_subscriber
from autogrocery.kit.process import faults
from autogrocery.kit.rpc.status import Code
from tests.harness.grpc_client import code_of
from tests.harness.running_inventory import delivery, new
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory

Result = pb.ReportPickResponse
State = pb.GetRestockResponse
ON_HAND = 50  # units of milk, yoghurt, baguette and apple at the start


async def restock_webhooks_sent(inventory: RunningInventory) -> list[UpdateRestock]:
    """Wait until no restock webhook is pending; return all that the gateway received."""

    async def done() -> bool:
        return await inventory.db.row("SELECT FROM inventory.restock_webhooks WHERE done_at IS NULL") is None

    await until(done)
    return [msgspec.json.decode(body, type=UpdateRestock) for _, body in inventory.gateway.restock_webhooks]


async def start(inventory: RunningInventory, robot_id: str, assignment_id: str) -> int:
    lease = await inventory.start(robot_id, assignment_id)
    assert lease.granted
    return int(lease.fence)


async def test_restock_is_not_on_sale_before_putaway(inventory: RunningInventory) -> None:
    restock, _ = await inventory.deliver(milk=7, steak=3)
    assert await inventory.available("milk", "steak") == [ON_HAND, 0]
    assert await inventory.restock(restock) == (State.RECEIVING, {"milk": (0, 0), "steak": (0, 0)})


async def test_each_aisle_is_one_putaway_listed_to_every_robot_of_its_class(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=7, yoghurt=2, apple=1)
    assert set(putaways) == {"dairy", "produce"}
    for robot_id in ("dairy-1", "dairy-2"):
        (work,) = await inventory.work(robot_id)
        assert (work.assignment_id, work.robot_id, work.robot_class, work.aisle) == (
            putaways["dairy"],
            "",
            "dairy",
            "dairy",
        )
        assert work.order_type == pb.Assignment.PUTAWAY
        assert {item.sku: item.quantity for item in work.items} == {"milk": 7, "yoghurt": 2}


async def test_putaway_waits_for_first_robot_of_its_class(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(steak=3)
    (work,) = await inventory.work("meat-1")
    fence = await start(inventory, "meat-1", work.assignment_id)
    await inventory.put_away("meat-1", putaways["meat"], fence, done=True, steak=3)
    assert await inventory.restock(restock) == (State.RECEIVED, {"steak": (3, 0)})


async def test_restock_is_announced_as_putaway(inventory: RunningInventory) -> None:
    async with open_subscriber([inventory.settings.robots_zmq_addr], topics=[b"dairy"]) as subscriber:
        for _ in range(50):  # until the subscription has reached the publisher
            _, putaways = await inventory.deliver(milk=7)
            if await subscriber.poll(100):
                break
        robot_class, payload = await subscriber.recv_multipart()
    task = decode(payload)
    assert (robot_class, task.order_type, task.assignment_id) == (b"dairy", "PUTAWAY", putaways["dairy"])


async def test_work_lists_picks_before_putaways(inventory: RunningInventory) -> None:
    await inventory.deliver(milk=7)
    _, (pick,) = await inventory.dispatch(milk=1)
    work = await inventory.work("dairy-1")
    assert [one.order_type for one in work] == [pb.Assignment.PICK, pb.Assignment.PUTAWAY]
    assert work[0].assignment_id == pick.assignment_id


async def test_each_line_is_on_sale_as_soon_as_reported(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=7, yoghurt=2)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    assert await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=4) == Result.ACCEPTED
    assert await inventory.available("milk", "yoghurt") == [ON_HAND + 4, ON_HAND]
    assert await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=7) == Result.ACCEPTED
    assert await inventory.available("milk", "yoghurt") == [ON_HAND + 7, ON_HAND]
    assert await inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, yoghurt=2) == Result.ACCEPTED
    assert await inventory.restock(restock) == (State.RECEIVED, {"milk": (7, 0), "yoghurt": (2, 0)})


async def test_damaged_units_are_counted_but_not_on_sale(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, damaged=2, milk=7)
    assert await inventory.available("milk") == [ON_HAND + 5]
    assert await inventory.restock(restock) == (State.RECEIVED, {"milk": (7, 2)})


@pytest.mark.parametrize("received", [3, 9])
async def test_units_received_may_differ_from_manifest(inventory: RunningInventory, received: int) -> None:
    restock, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=received)
    assert await inventory.available("milk") == [ON_HAND + received]
    assert await inventory.restock(restock) == (State.RECEIVED, {"milk": (received, 0)})


async def test_restock_without_good_units_is_rejected(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, damaged=7, milk=7)
    assert await inventory.restock(restock) == (State.REJECTED, {"milk": (7, 7)})
    assert [update.status for update in await restock_webhooks_sent(inventory)] == ["REJECTED"]


async def test_totals_never_decrease_in_any_order_of_reports(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    answers = [await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=n) for n in (5, 3, 5, 0, 6)]
    assert answers == [Result.ACCEPTED, Result.DUPLICATE, Result.DUPLICATE, Result.DUPLICATE, Result.ACCEPTED]
    assert await inventory.available("milk") == [ON_HAND + 6]
    assert await inventory.restock(restock) == (State.RECEIVING, {"milk": (6, 0)})


async def test_ten_equal_concurrent_reports_count_once(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    answers = await asyncio.gather(
        *(inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=7) for _ in range(10))
    )
    assert sorted(answers) == [Result.ACCEPTED] + [Result.DUPLICATE] * 9
    assert await inventory.available("milk") == [ON_HAND + 7]


async def test_concurrent_totals_end_at_the_greatest(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=9)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await asyncio.gather(*(inventory.put_away("dairy-1", putaways["dairy"], fence, milk=n) for n in range(10)))
    assert await inventory.available("milk") == [ON_HAND + 9]


async def test_twenty_concurrent_starts_of_a_putaway_grant_one_lease(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=7)
    leases = await asyncio.gather(*(inventory.start(f"dairy-{i}", putaways["dairy"]) for i in range(20)))
    assert sum(lease.granted for lease in leases) == 1


async def test_concurrent_last_reports_close_the_restock(inventory: RunningInventory) -> None:
    for _ in range(5):
        restock, putaways = await inventory.deliver(milk=1, apple=1, baguette=1)
        fences = {aisle: await start(inventory, f"{aisle}-1", one) for aisle, one in putaways.items()}
        skus = {"dairy": "milk", "produce": "apple", "bread": "baguette"}
        answers = await asyncio.gather(
            *(
                inventory.put_away(f"{aisle}-1", one, fences[aisle], done=True, **{skus[aisle]: 1})
                for aisle, one in putaways.items()
            )
        )
        assert set(answers) == {Result.ACCEPTED}
        assert (await inventory.restock(restock))[0] == State.RECEIVED


async def test_second_robot_resumes_putaway_of_a_dead_robot(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=7, yoghurt=2)
    dead = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], dead, milk=4)
    assert not (await inventory.start("dairy-2", putaways["dairy"])).granted
    await inventory.end_lease(putaways["dairy"])
    lease = await inventory.start("dairy-2", putaways["dairy"])
    assert lease.granted
    assert lease.fence > dead
    assert [(item.sku, item.received) for item in lease.items] == [("milk", 4)]
    assert await inventory.put_away("dairy-1", putaways["dairy"], dead, done=True, milk=7) == Result.STALE_FENCE
    assert await inventory.restock(restock) == (State.RECEIVING, {"milk": (4, 0), "yoghurt": (0, 0)})
    await inventory.put_away("dairy-2", putaways["dairy"], lease.fence, done=True, milk=7, yoghurt=2)
    assert await inventory.put_away("dairy-1", putaways["dairy"], dead, done=True, milk=9) == Result.STALE_FENCE
    assert await inventory.restock(restock) == (State.RECEIVED, {"milk": (7, 0), "yoghurt": (2, 0)})


async def test_report_under_a_robots_own_old_fence_is_stale(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=7)
    old = await start(inventory, "dairy-1", putaways["dairy"])
    for robot_id in ("dairy-2", "dairy-1"):
        await inventory.end_lease(putaways["dairy"])
        await start(inventory, robot_id, putaways["dairy"])
    assert await inventory.put_away("dairy-1", putaways["dairy"], old, milk=7) == Result.STALE_FENCE
    assert await inventory.available("milk") == [ON_HAND]


async def test_heartbeat_renews_picks_and_putaways_and_returns_lost_fences(inventory: RunningInventory) -> None:
    _, (pick,) = await inventory.dispatch(milk=1)
    _, kept = await inventory.deliver(milk=7)
    _, lost = await inventory.deliver(milk=7)
    picking, keep, lose = [
        await start(inventory, "dairy-1", one) for one in (pick.assignment_id, kept["dairy"], lost["dairy"])
    ]
    for assignment_id in (pick.assignment_id, kept["dairy"], lost["dairy"]):
        await inventory.end_lease(assignment_id)
    await start(inventory, "dairy-2", lost["dairy"])
    assert await inventory.beat("dairy-1", picking, keep, lose) == [lose]
    assert not (await inventory.start("dairy-2", kept["dairy"])).granted


async def test_picks_and_putaways_share_one_sequence_of_fences(inventory: RunningInventory) -> None:
    fences = []
    for _ in range(3):
        _, (pick,) = await inventory.dispatch(milk=1)
        _, putaways = await inventory.deliver(milk=1)
        fences += [await start(inventory, "dairy-1", one) for one in (pick.assignment_id, putaways["dairy"])]
    assert all(earlier < later for earlier, later in pairwise(fences))


async def test_start_of_putaway_by_another_class_is_permission_denied(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=7)
    assert await code_of(inventory.start("meat-1", putaways["dairy"])) is Code.PERMISSION_DENIED
    assert await inventory.work("meat-1") == []


@pytest.mark.parametrize("counts", [{"milk": -1}, {"apple": 1}, {"moonrock": 1}, {"milk": 2_000_001}])
async def test_invalid_counts_change_nothing(inventory: RunningInventory, counts: dict[str, int]) -> None:
    restock, putaways = await inventory.deliver(milk=7, apple=1)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    report = inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, yoghurt=0, **counts)
    assert await code_of(report) is Code.INVALID_ARGUMENT
    assert await inventory.restock(restock) == (State.RECEIVING, {"milk": (0, 0), "apple": (0, 0)})


async def test_damage_to_units_reported_good_is_an_invalid_argument(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=7)
    report = inventory.put_away("dairy-1", putaways["dairy"], fence, damaged=1, milk=7)
    assert await code_of(report) is Code.INVALID_ARGUMENT
    assert await inventory.restock(restock) == (State.RECEIVING, {"milk": (7, 0)})


async def test_more_damaged_than_received_is_an_invalid_argument(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=7)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    report = inventory.put_away("dairy-1", putaways["dairy"], fence, damaged=3, milk=2)
    assert await code_of(report) is Code.INVALID_ARGUMENT


async def test_report_on_unknown_putaway_is_an_invalid_argument(inventory: RunningInventory) -> None:
    _, (pick,) = await inventory.dispatch(milk=1)
    for assignment in (new(), pick.assignment_id):
        assert await code_of(inventory.put_away("dairy-1", assignment, 1, milk=1)) is Code.INVALID_ARGUMENT


async def test_repeated_restock_is_entered_once(inventory: RunningInventory) -> None:
    request = delivery(new(), milk=7)
    answers = await asyncio.gather(*(inventory.stub.RestockItems(request) for _ in range(10)))
    assert all(answer.success for answer in answers)
    assert len(await inventory.work("dairy-1")) == 1
    await inventory.restart()
    assert (await inventory.stub.RestockItems(request)).success


@pytest.mark.parametrize("other", [{"milk": 8}, {"milk": 7, "apple": 1}, {"milk": 7, "shelved": True}])
async def test_other_content_under_a_used_restock_id_is_refused(
    inventory: RunningInventory, other: dict[str, int]
) -> None:
    restock = new()
    assert (await inventory.stub.RestockItems(delivery(restock, milk=7))).success
    answer = await inventory.stub.RestockItems(delivery(restock, **other))  # type: ignore[arg-type]
    assert (answer.success, answer.message) == (False, "another restock order was entered under this id")
    assert await inventory.restock(restock) == (State.RECEIVING, {"milk": (0, 0)})


async def test_product_in_another_aisle_refuses_the_whole_restock(inventory: RunningInventory) -> None:
    request = delivery(new(), steak=3, milk=7)
    request.items[1].aisle_type = "meat"
    answer = await inventory.stub.RestockItems(request)
    assert (answer.success, answer.message) == (False, "milk stands in another aisle")
    assert await inventory.restock(request.order_id) == (State.UNKNOWN, {})
    assert await inventory.available("steak") == []
    request.items[1].aisle_type = "dairy"
    assert (await inventory.stub.RestockItems(request)).success


async def test_restock_is_entered_while_its_stock_is_locked(inventory: RunningInventory) -> None:
    async with inventory.db.transaction() as selling:
        await selling.rows("SELECT FROM inventory.stock WHERE sku = 'milk' FOR NO KEY UPDATE")
        _, putaways = await inventory.deliver(milk=7, steak=1)
    assert set(putaways) == {"dairy", "meat"}


async def test_restock_renames_a_product(inventory: RunningInventory) -> None:
    request = delivery(new(), milk=7)
    request.items[0].name = "Whole milk"
    assert (await inventory.stub.RestockItems(request)).success
    row = await inventory.db.row("SELECT name, on_hand FROM inventory.stock WHERE sku = 'milk'")
    assert row is not None
    assert tuple(row) == ("Whole milk", ON_HAND)


async def test_concurrent_restocks_put_a_new_product_in_one_aisle(inventory: RunningInventory) -> None:
    for i in range(5):
        requests = [delivery(new(), milk=1), delivery(new(), milk=1)]
        for request, aisle in zip(requests, ("bread", "meat"), strict=True):
            request.items[0].sku, request.items[0].aisle_type = f"new-{i}", aisle
        answers = await asyncio.gather(*map(inventory.stub.RestockItems, requests))
        assert sorted(answer.success for answer in answers) == [False, True]


async def test_twenty_concurrent_restocks_of_the_same_goods_are_all_received(inventory: RunningInventory) -> None:
    async def one(i: int) -> None:
        _, putaways = await inventory.deliver(milk=2, yoghurt=1, apple=3)
        for aisle, counts in (("dairy", {"yoghurt": 1, "milk": 2}), ("produce", {"apple": 3})):
            robot = f"{aisle}-{i}"
            fence = await start(inventory, robot, putaways[aisle])
            await inventory.put_away(robot, putaways[aisle], fence, done=True, **counts)

    await asyncio.gather(*map(one, range(20)))
    assert await inventory.available("apple", "milk", "yoghurt") == [ON_HAND + 60, ON_HAND + 40, ON_HAND + 20]
    assert sum(update.status == "RECEIVED" for update in await restock_webhooks_sent(inventory)) == 20


async def test_reports_within_a_second_share_one_webhook(inventory: RunningInventory) -> None:
    _, putaways = await inventory.deliver(milk=9)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    for n in range(1, 10):
        await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=n)
    rows = await inventory.db.rows("SELECT next_attempt_at - created_at AS waits FROM inventory.restock_webhooks")
    assert [row["waits"].total_seconds() for row in rows] == [WEBHOOK_DELAY_S]
    (update,) = await restock_webhooks_sent(inventory)
    assert (update.status, [(item.sku, item.received) for item in update.items]) == ("RECEIVING", [("milk", 9)])


async def test_report_after_a_webhook_was_made_adds_another(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=9, apple=1)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=4)
    (first,) = await restock_webhooks_sent(inventory)
    await inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=9)
    apples = await start(inventory, "produce-1", putaways["produce"])
    await inventory.put_away("produce-1", putaways["produce"], apples, done=True, damaged=1, apple=1)
    _, last = await restock_webhooks_sent(inventory)
    assert (first.order_id, first.status, last.status) == (UUID(restock), "RECEIVING", "RECEIVED")
    assert [(item.sku, item.received, item.damaged) for item in last.items] == [("apple", 1, 1), ("milk", 9, 0)]
    assert first.occurred_at < last.occurred_at
    ids = [headers["webhook-id"] for headers, _ in inventory.gateway.restock_webhooks]
    assert ids == [f"msg_{UUID(restock).hex}_{n}" for n in (1, 2)]


async def test_webhook_is_retried_with_same_bytes_despite_new_reports(
    inventory: RunningInventory,
) -> None:
    inventory.gateway.responses = [404, 503]
    restock, putaways = await inventory.deliver(milk=9)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=4)

    async def received() -> bool:
        return bool(inventory.gateway.restock_webhooks)

    await until(received)
    await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=5)
    await restock_webhooks_sent(inventory)
    bodies: dict[str, set[bytes]] = {}
    for headers, body in inventory.gateway.restock_webhooks:
        bodies.setdefault(headers["webhook-id"], set()).add(body)
    assert [len(different) for different in bodies.values()] == [1, 1]
    first = f"msg_{UUID(restock).hex}_1"
    assert {(await restock_webhooks.get_body(inventory.db, UUID(restock), first)).encode()} == bodies[first]


async def test_report_while_a_webhook_is_made_adds_another(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(milk=20)
    fence = await start(inventory, "dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], fence, milk=1)
    with faults.arm(faults.Fault("restock_webhooks.keep", faults.Mode.DELAY)) as calls:
        making = asyncio.ensure_future(
            restock_webhooks.get_body(inventory.db, UUID(restock), f"msg_{UUID(restock).hex}_1")
        )

        async def read() -> bool:
            return "restock_webhooks.keep" in calls

        await until(read)
        await inventory.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=20)
        await making
    states = {(update.status, update.items[0].received) for update in await restock_webhooks_sent(inventory)}
    assert states == {("RECEIVING", 1), ("RECEIVED", 20)}


async def test_shelved_restock_is_on_sale_without_putaway_or_webhook(inventory: RunningInventory) -> None:
    assert (await inventory.stub.RestockItems(delivery(new(), shelved=True, milk=7))).success
    assert await inventory.available("milk") == [ON_HAND + 7]
    assert await inventory.work("dairy-1") == []
    assert await restock_webhooks_sent(inventory) == []


async def test_product_of_a_restock_is_one_lot_in_any_number_of_reports(
    inventory: RunningInventory,
) -> None:
    restock, putaways = await inventory.deliver(steak=7)
    fence = await start(inventory, "meat-1", putaways["meat"])
    for so_far in (3, 5):
        await inventory.put_away("meat-1", putaways["meat"], fence, steak=so_far)
    (lot,) = await lots.list_on_shelf(inventory.db, sku="steak", expiring_within=None, limit=9)
    assert (lot.lot, lot.received, lot.on_shelf) == (lot_code(UUID(restock), "steak"), 5, 5)


async def test_units_put_away_of_a_recalled_lot_are_not_on_sale(inventory: RunningInventory) -> None:
    restock, putaways = await inventory.deliver(steak=7)
    fence = await start(inventory, "meat-1", putaways["meat"])
    await inventory.put_away("meat-1", putaways["meat"], fence, steak=3)
    await recall_lot(inventory.db, lot_code(UUID(restock), "steak"))
    await inventory.put_away("meat-1", putaways["meat"], fence, done=True, steak=7)
    assert await inventory.available("steak") == [0]
    assert not (await inventory.reserve(new(), steak=1)).success
