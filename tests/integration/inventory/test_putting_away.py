"""A truck's delivery on its way to the shelves: who puts it away, what can be sold when, and what is told of it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import msgspec
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.robots.broadcast import decode
from autogrocery.contracts.webhook import UpdateRestock
from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.actions.report_putaway import NEWS_WITHIN_S
from autogrocery.inventory.core.lots import lot_of
from autogrocery.inventory.store import lots, restock_webhooks
from autogrocery.kit.bus import open_subscriber
from autogrocery.kit.process import faults
from tests.harness.running_inventory import code_of, delivery, new, until

if TYPE_CHECKING:
    from tests.harness.running_inventory import Shop

Result = pb.ReportPickResponse
State = pb.GetRestockResponse
ON_HAND = 50  # of milk, yoghurt, baguette and apple, when the shop opens


@pytest.fixture
async def shop(shop: Shop) -> Shop:
    """Leases last as long as a test, unless it ends them."""
    await shop.restart(pick_lease_s=60.0)
    return shop


async def told(shop: Shop) -> list[UpdateRestock]:
    """Everything about deliveries that the gateway has heard, once no more is owed."""

    async def done() -> bool:
        return await shop.db.row("SELECT FROM inventory.restock_webhooks WHERE done_at IS NULL") is None

    await until(done)
    return [msgspec.json.decode(body, type=UpdateRestock) for _, body in shop.gateway.of_restocks]


async def lapsed_lease(shop: Shop, assignment_id: str) -> None:
    await shop.db.run(
        "UPDATE inventory.putaways SET lease_until = now() WHERE assignment_id = $1::text::uuid", assignment_id
    )


async def started(shop: Shop, robot_id: str, assignment_id: str) -> int:
    lease = await shop.start(robot_id, assignment_id)
    assert lease.granted
    return int(lease.fence)


async def test_a_delivery_is_not_for_sale_before_it_is_put_away(shop: Shop) -> None:
    restock, _ = await shop.deliver(milk=7, steak=3)
    assert await shop.available("milk", "steak") == [ON_HAND, 0]
    assert await shop.restock(restock) == (State.RECEIVING, {"milk": (0, 0), "steak": (0, 0)})


async def test_each_aisle_is_one_robots_work_and_any_robot_of_its_class_sees_it(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=7, yoghurt=2, apple=1)
    assert set(putaways) == {"dairy", "produce"}
    for robot_id in ("dairy-1", "dairy-2"):
        (work,) = await shop.work(robot_id)
        assert (work.assignment_id, work.robot_id, work.robot_class, work.aisle) == (
            putaways["dairy"],
            "",
            "dairy",
            "dairy",
        )
        assert work.order_type == pb.Assignment.PUTAWAY
        assert {item.sku: item.quantity for item in work.items} == {"milk": 7, "yoghurt": 2}


async def test_a_delivery_waits_for_robots_that_are_not_there_yet(shop: Shop) -> None:
    restock, putaways = await shop.deliver(steak=3)
    (work,) = await shop.work("meat-1")
    fence = await started(shop, "meat-1", work.assignment_id)
    await shop.put_away("meat-1", putaways["meat"], fence, done=True, steak=3)
    assert await shop.restock(restock) == (State.RECEIVED, {"steak": (3, 0)})


async def test_a_delivery_is_announced_to_its_classes_as_putaway(shop: Shop) -> None:
    async with open_subscriber([shop.settings.robots_zmq_addr], topics=[b"dairy"]) as radio:
        for _ in range(50):  # a subscription takes a moment to arrive
            _, putaways = await shop.deliver(milk=7)
            if await radio.poll(100):
                break
        robot_class, payload = await radio.recv_multipart()
    task = decode(payload)
    assert (robot_class, task.order_type, task.assignment_id) == (b"dairy", "PUTAWAY", putaways["dairy"])


async def test_orders_are_picked_before_deliveries_are_put_away(shop: Shop) -> None:
    await shop.deliver(milk=7)
    _, (pick,) = await shop.dispatch(milk=1)
    work = await shop.work("dairy-1")
    assert [one.order_type for one in work] == [pb.Assignment.PICK, pb.Assignment.PUTAWAY]
    assert work[0].assignment_id == pick.assignment_id


async def test_each_line_is_for_sale_as_soon_as_it_is_put_away(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=7, yoghurt=2)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    assert await shop.put_away("dairy-1", putaways["dairy"], fence, milk=4) == Result.ACCEPTED
    assert await shop.available("milk", "yoghurt") == [ON_HAND + 4, ON_HAND]
    assert await shop.put_away("dairy-1", putaways["dairy"], fence, milk=7) == Result.ACCEPTED
    assert await shop.available("milk", "yoghurt") == [ON_HAND + 7, ON_HAND]
    assert await shop.put_away("dairy-1", putaways["dairy"], fence, done=True, yoghurt=2) == Result.ACCEPTED
    assert await shop.restock(restock) == (State.RECEIVED, {"milk": (7, 0), "yoghurt": (2, 0)})


async def test_damaged_units_are_counted_and_never_sold(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, done=True, damaged=2, milk=7)
    assert await shop.available("milk") == [ON_HAND + 5]
    assert await shop.restock(restock) == (State.RECEIVED, {"milk": (7, 2)})


@pytest.mark.parametrize("received", [3, 9])
async def test_fewer_or_more_than_announced_are_received_as_they_come(shop: Shop, received: int) -> None:
    restock, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=received)
    assert await shop.available("milk") == [ON_HAND + received]
    assert await shop.restock(restock) == (State.RECEIVED, {"milk": (received, 0)})


async def test_a_delivery_of_which_nothing_is_good_is_rejected(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, done=True, damaged=7, milk=7)
    assert await shop.restock(restock) == (State.REJECTED, {"milk": (7, 7)})
    assert [update.status for update in await told(shop)] == ["REJECTED"]


async def test_totals_never_decrease_in_whatever_order_reports_come(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    answers = [await shop.put_away("dairy-1", putaways["dairy"], fence, milk=n) for n in (5, 3, 5, 0, 6)]
    assert answers == [Result.ACCEPTED, Result.DUPLICATE, Result.DUPLICATE, Result.DUPLICATE, Result.ACCEPTED]
    assert await shop.available("milk") == [ON_HAND + 6]
    assert await shop.restock(restock) == (State.RECEIVING, {"milk": (6, 0)})


async def test_ten_reports_of_the_same_at_once_count_once(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    answers = await asyncio.gather(
        *(shop.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=7) for _ in range(10))
    )
    assert sorted(answers) == [Result.ACCEPTED] + [Result.DUPLICATE] * 9
    assert await shop.available("milk") == [ON_HAND + 7]


async def test_different_totals_at_once_end_at_the_greatest(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=9)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await asyncio.gather(*(shop.put_away("dairy-1", putaways["dairy"], fence, milk=n) for n in range(10)))
    assert await shop.available("milk") == [ON_HAND + 9]


async def test_of_twenty_robots_that_start_at_once_one_puts_away(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=7)
    leases = await asyncio.gather(*(shop.start(f"dairy-{i}", putaways["dairy"]) for i in range(20)))
    assert sum(lease.granted for lease in leases) == 1


async def test_the_last_two_reports_at_once_end_the_delivery(shop: Shop) -> None:
    for _ in range(5):
        restock, putaways = await shop.deliver(milk=1, apple=1, baguette=1)
        fences = {aisle: await started(shop, f"{aisle}-1", one) for aisle, one in putaways.items()}
        skus = {"dairy": "milk", "produce": "apple", "bread": "baguette"}
        answers = await asyncio.gather(
            *(
                shop.put_away(f"{aisle}-1", one, fences[aisle], done=True, **{skus[aisle]: 1})
                for aisle, one in putaways.items()
            )
        )
        assert set(answers) == {Result.ACCEPTED}
        assert (await shop.restock(restock))[0] == State.RECEIVED


async def test_another_robot_goes_on_where_a_dead_one_reported_last(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=7, yoghurt=2)
    dead = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], dead, milk=4)
    assert not (await shop.start("dairy-2", putaways["dairy"])).granted
    await lapsed_lease(shop, putaways["dairy"])
    lease = await shop.start("dairy-2", putaways["dairy"])
    assert lease.granted
    assert lease.fence > dead
    assert [(item.sku, item.received) for item in lease.items] == [("milk", 4)]
    assert await shop.put_away("dairy-1", putaways["dairy"], dead, done=True, milk=7) == Result.STALE_FENCE
    assert await shop.restock(restock) == (State.RECEIVING, {"milk": (4, 0), "yoghurt": (0, 0)})
    await shop.put_away("dairy-2", putaways["dairy"], lease.fence, done=True, milk=7, yoghurt=2)
    assert await shop.put_away("dairy-1", putaways["dairy"], dead, done=True, milk=9) == Result.STALE_FENCE
    assert await shop.restock(restock) == (State.RECEIVED, {"milk": (7, 0), "yoghurt": (2, 0)})


async def test_a_robot_that_has_the_work_anew_reports_nothing_under_its_old_fence(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=7)
    old = await started(shop, "dairy-1", putaways["dairy"])
    for robot_id in ("dairy-2", "dairy-1"):
        await lapsed_lease(shop, putaways["dairy"])
        await started(shop, robot_id, putaways["dairy"])
    assert await shop.put_away("dairy-1", putaways["dairy"], old, milk=7) == Result.STALE_FENCE
    assert await shop.available("milk") == [ON_HAND]


async def test_a_heartbeat_keeps_picks_and_putaways_and_tells_lost_ones(shop: Shop) -> None:
    _, (pick,) = await shop.dispatch(milk=1)
    _, kept = await shop.deliver(milk=7)
    _, lost = await shop.deliver(milk=7)
    picking, keep, lose = [
        await started(shop, "dairy-1", one) for one in (pick.assignment_id, kept["dairy"], lost["dairy"])
    ]
    await lapsed_lease(shop, lost["dairy"])
    await started(shop, "dairy-2", lost["dairy"])
    assert await shop.beat("dairy-1", picking, keep, lose) == [lose]
    assert not (await shop.start("dairy-2", kept["dairy"])).granted


async def test_picks_and_putaways_have_one_row_of_fences(shop: Shop) -> None:
    fences = []
    for _ in range(3):
        _, (pick,) = await shop.dispatch(milk=1)
        _, putaways = await shop.deliver(milk=1)
        fences += [await started(shop, "dairy-1", one) for one in (pick.assignment_id, putaways["dairy"])]
    assert all(earlier < later for earlier, later in pairwise(fences))


async def test_only_a_robot_of_the_class_starts_a_putaway(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=7)
    assert await code_of(shop.start("meat-1", putaways["dairy"])) is grpc.StatusCode.PERMISSION_DENIED
    assert await shop.work("meat-1") == []


@pytest.mark.parametrize("counts", [{"milk": -1}, {"apple": 1}, {"moonrock": 1}, {"milk": 2_000_001}])
async def test_counts_that_cannot_be_change_nothing(shop: Shop, counts: dict[str, int]) -> None:
    restock, putaways = await shop.deliver(milk=7, apple=1)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    report = shop.put_away("dairy-1", putaways["dairy"], fence, done=True, yoghurt=0, **counts)
    assert await code_of(report) is grpc.StatusCode.INVALID_ARGUMENT
    assert await shop.restock(restock) == (State.RECEIVING, {"milk": (0, 0), "apple": (0, 0)})


async def test_what_was_reported_good_is_for_sale_and_not_damaged_any_more(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, milk=7)
    report = shop.put_away("dairy-1", putaways["dairy"], fence, damaged=1, milk=7)
    assert await code_of(report) is grpc.StatusCode.INVALID_ARGUMENT
    assert await shop.restock(restock) == (State.RECEIVING, {"milk": (7, 0)})


async def test_no_more_is_damaged_than_came(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=7)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    report = shop.put_away("dairy-1", putaways["dairy"], fence, damaged=3, milk=2)
    assert await code_of(report) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_report_on_no_putaway_is_an_invalid_argument(shop: Shop) -> None:
    _, (pick,) = await shop.dispatch(milk=1)
    for assignment in (new(), pick.assignment_id):
        assert await code_of(shop.put_away("dairy-1", assignment, 1, milk=1)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_same_delivery_again_is_the_same_delivery(shop: Shop) -> None:
    request = delivery(new(), milk=7)
    answers = await asyncio.gather(*(shop.stub.RestockItems(request) for _ in range(10)))
    assert all(answer.success for answer in answers)
    assert len(await shop.work("dairy-1")) == 1
    await shop.restart()
    assert (await shop.stub.RestockItems(request)).success


@pytest.mark.parametrize("other", [{"milk": 8}, {"milk": 7, "apple": 1}, {"milk": 7, "shelved": True}])
async def test_other_content_under_a_deliverys_id_is_refused(shop: Shop, other: dict[str, int]) -> None:
    restock = new()
    assert (await shop.stub.RestockItems(delivery(restock, milk=7))).success
    answer = await shop.stub.RestockItems(delivery(restock, **other))  # type: ignore[arg-type]
    assert (answer.success, answer.message) == (False, "another delivery was entered under this order id")
    assert await shop.restock(restock) == (State.RECEIVING, {"milk": (0, 0)})


async def test_a_product_of_another_aisle_refuses_the_whole_delivery(shop: Shop) -> None:
    request = delivery(new(), steak=3, milk=7)
    request.items[1].aisle_type = "meat"
    answer = await shop.stub.RestockItems(request)
    assert (answer.success, answer.message) == (False, "milk stands in another aisle")
    assert await shop.restock(request.order_id) == (State.UNKNOWN, {})
    assert await shop.available("steak") == []
    request.items[1].aisle_type = "dairy"
    assert (await shop.stub.RestockItems(request)).success


async def test_a_delivery_is_entered_while_its_goods_are_sold(shop: Shop) -> None:
    async with shop.db.transaction() as selling:
        await selling.rows("SELECT FROM inventory.stock WHERE sku = 'milk' FOR NO KEY UPDATE")
        _, putaways = await shop.deliver(milk=7, steak=1)
    assert set(putaways) == {"dairy", "meat"}


async def test_a_delivery_brings_a_products_new_name(shop: Shop) -> None:
    request = delivery(new(), milk=7)
    request.items[0].name = "Whole milk"
    assert (await shop.stub.RestockItems(request)).success
    row = await shop.db.row("SELECT name, on_hand FROM inventory.stock WHERE sku = 'milk'")
    assert row is not None
    assert tuple(row) == ("Whole milk", ON_HAND)


async def test_two_deliveries_at_once_cannot_place_a_new_product_in_two_aisles(shop: Shop) -> None:
    for i in range(5):
        requests = [delivery(new(), milk=1), delivery(new(), milk=1)]
        for request, aisle in zip(requests, ("bread", "meat"), strict=True):
            request.items[0].sku, request.items[0].aisle_type = f"new-{i}", aisle
        answers = await asyncio.gather(*map(shop.stub.RestockItems, requests))
        assert sorted(answer.success for answer in answers) == [False, True]


async def test_many_deliveries_of_the_same_goods_at_once_all_arrive(shop: Shop) -> None:
    async def one(i: int) -> None:
        _, putaways = await shop.deliver(milk=2, yoghurt=1, apple=3)
        for aisle, counts in (("dairy", {"yoghurt": 1, "milk": 2}), ("produce", {"apple": 3})):
            robot = f"{aisle}-{i}"
            fence = await started(shop, robot, putaways[aisle])
            await shop.put_away(robot, putaways[aisle], fence, done=True, **counts)

    await asyncio.gather(*map(one, range(20)))
    assert await shop.available("apple", "milk", "yoghurt") == [ON_HAND + 60, ON_HAND + 40, ON_HAND + 20]
    assert sum(update.status == "RECEIVED" for update in await told(shop)) == 20


async def test_reports_that_follow_each_other_closely_are_one_webhook(shop: Shop) -> None:
    _, putaways = await shop.deliver(milk=9)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    for n in range(1, 10):
        await shop.put_away("dairy-1", putaways["dairy"], fence, milk=n)
    rows = await shop.db.rows("SELECT next_attempt_at - created_at AS waits FROM inventory.restock_webhooks")
    assert [row["waits"].total_seconds() for row in rows] == [NEWS_WITHIN_S]
    (update,) = await told(shop)
    assert (update.status, [(item.sku, item.received) for item in update.items]) == ("RECEIVING", [("milk", 9)])


async def test_what_is_reported_after_a_webhook_was_made_owes_another(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=9, apple=1)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, milk=4)
    (first,) = await told(shop)
    await shop.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=9)
    apples = await started(shop, "produce-1", putaways["produce"])
    await shop.put_away("produce-1", putaways["produce"], apples, done=True, damaged=1, apple=1)
    _, last = await told(shop)
    assert (first.order_id, first.status, last.status) == (UUID(restock), "RECEIVING", "RECEIVED")
    assert [(item.sku, item.received, item.damaged) for item in last.items] == [("apple", 1, 1), ("milk", 9, 0)]
    assert first.occurred_at < last.occurred_at
    ids = [headers["webhook-id"] for headers, _ in shop.gateway.of_restocks]
    assert ids == [f"msg_{UUID(restock).hex}_{n}" for n in (1, 2)]


async def test_a_webhook_is_told_again_with_the_same_bytes_whatever_is_reported_meanwhile(shop: Shop) -> None:
    shop.gateway.answers = [404, 503]
    restock, putaways = await shop.deliver(milk=9)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, milk=4)

    async def heard() -> bool:
        return bool(shop.gateway.of_restocks)

    await until(heard)
    await shop.put_away("dairy-1", putaways["dairy"], fence, milk=5)
    await told(shop)
    bodies: dict[str, set[bytes]] = {}
    for headers, body in shop.gateway.of_restocks:
        bodies.setdefault(headers["webhook-id"], set()).add(body)
    assert [len(different) for different in bodies.values()] == [1, 1]
    first = f"msg_{UUID(restock).hex}_1"
    assert {(await restock_webhooks.body(shop.db, UUID(restock), first)).encode()} == bodies[first]


async def test_a_report_that_comes_while_a_webhook_is_made_is_told_by_another(shop: Shop) -> None:
    restock, putaways = await shop.deliver(milk=20)
    fence = await started(shop, "dairy-1", putaways["dairy"])
    await shop.put_away("dairy-1", putaways["dairy"], fence, milk=1)
    with faults.arm(faults.Fault("restock_webhooks.keep", faults.Mode.DELAY)) as calls:
        making = asyncio.ensure_future(restock_webhooks.body(shop.db, UUID(restock), f"msg_{UUID(restock).hex}_1"))

        async def read() -> bool:
            return "restock_webhooks.keep" in calls

        await until(read)
        await shop.put_away("dairy-1", putaways["dairy"], fence, done=True, milk=20)
        await making
    words = {(update.status, update.items[0].received) for update in await told(shop)}
    assert words == {("RECEIVING", 1), ("RECEIVED", 20)}


async def test_a_delivery_that_stands_on_its_shelves_is_told_to_nobody(shop: Shop) -> None:
    assert (await shop.stub.RestockItems(delivery(new(), shelved=True, milk=7))).success
    assert await shop.available("milk") == [ON_HAND + 7]
    assert await shop.work("dairy-1") == []
    assert await told(shop) == []


async def test_what_a_delivery_brings_of_a_product_is_one_lot_however_it_is_put_away(shop: Shop) -> None:
    restock, putaways = await shop.deliver(steak=7)
    fence = await started(shop, "meat-1", putaways["meat"])
    for so_far in (3, 5):
        await shop.put_away("meat-1", putaways["meat"], fence, steak=so_far)
    (lot,) = await lots.list_on_shelf(shop.db, sku="steak", expiring_within=None, limit=9)
    assert (lot.lot, lot.received, lot.on_shelf) == (lot_of(UUID(restock), "steak"), 5, 5)


async def test_what_is_put_away_of_a_recalled_lot_is_not_for_sale(shop: Shop) -> None:
    restock, putaways = await shop.deliver(steak=7)
    fence = await started(shop, "meat-1", putaways["meat"])
    await shop.put_away("meat-1", putaways["meat"], fence, steak=3)
    await recall_lot(shop.db, lot_of(UUID(restock), "steak"))
    await shop.put_away("meat-1", putaways["meat"], fence, done=True, steak=7)
    assert await shop.available("steak") == [0]
    assert not (await shop.reserve(new(), steak=1)).success
