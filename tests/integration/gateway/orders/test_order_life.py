"""One order through every door of CONTRACT §2.1."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Dispatch, Fact, Outcome, Status
from autogrocery.gateway.store import due
from autogrocery.gateway.store.moves import Delivery
from autogrocery.kit.errors import Conflict, Gone, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import House

DOWN = grpc.StatusCode.UNAVAILABLE


async def sweep_all(house: House, patience_s: float = 600) -> None:
    await house.db.run("UPDATE grocery_orders SET due_at = now() WHERE intent IS NOT NULL")
    for item in await due.claim_owed(house.db):
        await sweep(house.db, house.inventory, house.metrics, item, patience_s=patience_s)


async def make_overdue(house: House) -> None:
    await house.db.run("UPDATE grocery_orders SET expires_at = now() - interval '1 second', due_at = now()")


async def test_preview_confirm_webhook_completes_in_three_versions(house: House) -> None:
    order = await house.preview(milk=2, bread=1)
    assert (order.status, order.total_cents) == (Status.PREVIEWED, 2 * 129 + 249)
    confirmed, settled = await house.confirm(order.order_id)
    assert settled
    assert confirmed == await house.order(order.order_id)
    assert (confirmed.status, confirmed.dispatch) == (Status.PROCESSING, Dispatch.DISPATCHED)
    assert await house.complete(order.order_id) == (True, Status.COMPLETED)
    done = await house.order(order.order_id)
    assert (done.outcome, done.total_cents, [line.picked for line in done.lines]) == (
        Outcome.FULL,
        order.total_cents,
        [1, 2],
    )
    assert await house.path(order.order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert [(m.status, m.version) for m in house.sent] == [("PREVIEWED", 1), ("PROCESSING", 2), ("COMPLETED", 3)]
    assert [m.sequence for m in house.sent] == [1, 2, 3]


async def test_twenty_confirms_dispatch_once(house: House) -> None:
    order = await house.preview()
    answers = await asyncio.gather(*(house.confirm(order.order_id) for _ in range(8)))
    assert all(settled and told.status is Status.PROCESSING for told, settled in answers)
    assert house.shelf.dispatches[str(order.order_id)] == 1
    assert await house.path(order.order_id) == ["PREVIEWED", "PROCESSING"]


@pytest.mark.parametrize("after_effect", [False, True])
async def test_confirm_in_doubt_is_promised_and_swept(house: House, after_effect: bool) -> None:
    order = await house.preview()
    house.shelf.trouble, house.shelf.after_effect = {"AssignRobots": DOWN}, after_effect
    told, settled = await house.confirm(order.order_id)
    assert (settled, told.dispatch, told.status) == (False, Dispatch.IN_DOUBT, Status.PREVIEWED)
    house.shelf.trouble = {}
    await sweep_all(house)
    assert (await house.order(order.order_id)).status is Status.PROCESSING
    assert house.shelf.dispatches[str(order.order_id)] == 1


async def test_promise_outlives_the_hold(house: House) -> None:
    order = await house.preview()
    house.shelf.trouble = {"AssignRobots": DOWN}
    await house.confirm(order.order_id)
    await make_overdue(house)
    assert await due.claim_expired(house.db) == []
    house.shelf.trouble = {}
    assert (await house.confirm(order.order_id))[1]


async def test_patience_ends_in_failed_only_after_the_release(house: House) -> None:
    order = await house.preview()
    house.shelf.trouble = {"AssignRobots": DOWN}
    await house.confirm(order.order_id)
    await sweep_all(house, patience_s=-1)
    failed = await house.order(order.order_id)
    assert (failed.status, failed.total_cents) == (Status.FAILED, 0)
    assert house.shelf.state[str(order.order_id)] == inv.GetOrderResponse.RELEASED


async def test_no_robots_is_told_after_the_release(house: House) -> None:
    order = await house.preview()
    house.shelf.refuse_robots = True
    with pytest.raises(Conflict) as refusal:
        await house.confirm(order.order_id)
    assert refusal.value.code == "no_robots"
    assert (await house.order(order.order_id)).status is Status.FAILED
    with pytest.raises(Conflict, match="no_robots"):
        await house.confirm(order.order_id)
    with pytest.raises(Conflict, match="too_late_to_cancel"):
        await house.cancel(order.order_id)


async def test_no_robots_without_a_clear_release_is_202(house: House) -> None:
    order = await house.preview()
    house.shelf.refuse_robots, house.shelf.trouble = True, {"ReleaseItems": DOWN}
    told, settled = await house.confirm(order.order_id)
    assert (settled, told.dispatch) == (False, Dispatch.RELEASING)
    house.shelf.trouble = {}
    await sweep_all(house)
    assert (await house.order(order.order_id)).status is Status.FAILED


async def test_refusal_after_a_lost_success_ends_processing(house: House) -> None:
    order = await house.preview()
    house.shelf.trouble, house.shelf.after_effect = {"AssignRobots": DOWN}, True
    await house.confirm(order.order_id)
    house.shelf.trouble = {}
    await sweep_all(house, patience_s=-1)
    assert (await house.order(order.order_id)).status is Status.PROCESSING
    assert (await house.confirm(order.order_id))[1]


async def test_cancel_of_a_preview_gives_stock_back_once(house: House) -> None:
    order = await house.preview(milk=5)
    assert house.shelf.stock["milk"] == 995
    for _ in range(2):
        told, settled = await house.cancel(order.order_id)
        assert (settled, told.status) == (True, Status.CANCELLED)
    assert house.shelf.stock["milk"] == 1_000
    with pytest.raises(Conflict, match="order_cancelled"):
        await house.confirm(order.order_id)


async def test_cancel_in_doubt_is_202_then_cancelled(house: House) -> None:
    order = await house.preview()
    house.shelf.trouble = {"ReleaseItems": DOWN}
    told, settled = await house.cancel(order.order_id)
    assert (settled, told.dispatch) == (False, Dispatch.RELEASING)
    assert not (await house.cancel(order.order_id))[1]
    with pytest.raises(Conflict, match="order_cancelled"):
        await house.confirm(order.order_id)
    house.shelf.trouble = {}
    await sweep_all(house)
    assert (await house.order(order.order_id)).status is Status.CANCELLED


async def test_cancel_while_processing_withdraws_only_before_picking(house: House) -> None:
    first, second = await house.preview(milk=1), await house.preview(milk=1)
    await house.confirm(first.order_id)
    await house.confirm(second.order_id)
    house.shelf.started.add(str(second.order_id))
    told, settled = await house.cancel(first.order_id)
    assert (settled, told.status) == (True, Status.CANCELLED)
    assert await house.path(first.order_id) == ["PREVIEWED", "PROCESSING", "CANCELLED"]
    for _ in range(2):
        with pytest.raises(Conflict, match="too_late_to_cancel"):
            await house.cancel(second.order_id)
    assert (await house.order(second.order_id)).dispatch is Dispatch.DISPATCHED


async def test_expiry_is_gone_for_both_and_gives_stock_back(house: House) -> None:
    order = await house.preview(milk=3)
    assert await expire(house.db, house.inventory, house.metrics, order.order_id) is None
    await make_overdue(house)
    for verb in (house.confirm, house.cancel):
        with pytest.raises(Gone, match="hold_expired"):
            await verb(order.order_id)
    (item,) = await due.claim_expired(house.db)
    await expire(house.db, house.inventory, house.metrics, item.order_id)
    assert (await house.order(order.order_id)).status is Status.EXPIRED
    assert house.shelf.stock["milk"] == 1_000
    for verb in (house.confirm, house.cancel):
        with pytest.raises(Gone, match="hold_expired"):
            await verb(order.order_id)


async def test_expiry_that_lost_to_a_dispatch_ends_processing(house: House) -> None:
    order = await house.preview()
    house.shelf.trouble, house.shelf.after_effect = {"AssignRobots": DOWN}, True
    await house.confirm(order.order_id)
    await house.db.run("UPDATE grocery_orders SET intent = NULL, intent_at = NULL")  # the promise's commit was lost
    await make_overdue(house)
    house.shelf.trouble = {}
    released = await expire(house.db, house.inventory, house.metrics, order.order_id)
    assert released is not None
    assert released.status is Status.PROCESSING


async def test_same_key_names_the_same_order(house: House) -> None:
    first = await house.preview(key="basket-1", milk=1)
    assert (await house.preview(key="basket-1", milk=1)).order_id == first.order_id
    with pytest.raises(Invalid, match="idempotency_mismatch"):
        await house.preview(key="basket-1", milk=2)
    house.prices.trouble = DOWN
    assert (await house.preview(key="basket-1", milk=1)).order_id == first.order_id
    assert house.shelf.stock["milk"] == 999


async def test_key_of_a_cancelled_order_replays_it(house: House) -> None:
    order = await house.preview(key="k", milk=1)
    await house.cancel(order.order_id)
    assert (await house.preview(key="k", milk=1)).status is Status.CANCELLED


async def test_key_released_without_a_row_is_used(house: House) -> None:
    order = await house.preview(key="k")
    house.shelf.state[str(order.order_id)] = inv.GetOrderResponse.RELEASED
    await house.db.run(
        "SET LOCAL session_replication_role = replica; DELETE FROM order_history; DELETE FROM order_lines; DELETE FROM grocery_orders"
    )
    with pytest.raises(Conflict, match="key_used"):
        await house.preview(key="k")


async def test_shortage_and_unknown_sku_are_told_apart(house: House) -> None:
    house.shelf.stock["bread"] = 900
    with pytest.raises(Conflict) as shortage:
        await house.preview(milk=999, bread=999)
    assert [(flaw.sku, flaw.requested, flaw.available) for flaw in shortage.value.errors] == [("bread", 999, 900)]
    with pytest.raises(Invalid, match="unknown_sku"):
        await house.preview(caviar=1, bread=999)


async def test_partial_takes_what_there_is(house: House) -> None:
    house.shelf.stock["bread"] = 3
    order = await house.preview(partial=True, milk=1, bread=5)
    assert {line.sku: (line.quantity, line.requested) for line in order.lines} == {"bread": (3, 5), "milk": (1, 1)}
    assert order.total_cents == 3 * 249 + 129


async def test_own_older_quote_never_blocks_its_device(house: House) -> None:
    older = await house.preview(milk=900)
    newer = await house.preview(milk=800)
    assert (await house.order(older.order_id)).status is Status.CANCELLED
    assert (await house.order(newer.order_id)).status is Status.PREVIEWED


@pytest.mark.parametrize("peer", ["pricing", "inventory"])
async def test_preview_without_a_peer_says_ask_again(house: House, peer: str) -> None:
    if peer == "pricing":
        house.prices.trouble = DOWN
    else:
        house.shelf.trouble = {"ReserveItems": DOWN}
    with pytest.raises(Unavailable) as trouble:
        await house.preview(key="k")
    assert trouble.value.code == f"{peer}_unavailable"
    house.prices.trouble, house.shelf.trouble = None, {}
    assert (await house.preview(key="k")).status is Status.PREVIEWED


async def test_webhook_before_confirm_is_believed_only_if_inventory_agrees(house: House) -> None:
    order = await house.preview()
    delivery = Delivery("msg-1", b"x" * 32)
    with pytest.raises(Conflict, match="not_dispatched"):
        await house.complete(order.order_id, delivery=delivery)
    house.shelf.trouble = {"GetOrder": DOWN}
    with pytest.raises(Unavailable):
        await house.complete(order.order_id, delivery=delivery)
    house.shelf.trouble = {}
    house.shelf.state[str(order.order_id)] = inv.GetOrderResponse.COMPLETED
    assert await house.complete(order.order_id, delivery=delivery) == (True, Status.COMPLETED)
    assert await house.path(order.order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert [m.version for m in house.sent] == [1, 2, 3]


async def test_webhook_overtakes_a_confirm_in_doubt(house: House) -> None:
    order = await house.preview()
    house.shelf.trouble, house.shelf.after_effect = {"AssignRobots": DOWN}, True
    await house.confirm(order.order_id)
    assert await house.complete(order.order_id) == (True, Status.COMPLETED)
    house.shelf.trouble = {}
    await sweep_all(house)
    assert (await house.confirm(order.order_id))[1]
    assert await house.path(order.order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]


async def test_duplicate_webhook_says_the_same_and_another_body_conflicts(house: House) -> None:
    order = await house.preview()
    await house.confirm(order.order_id)
    first = Delivery("msg-1", b"a" * 32)
    assert await house.complete(order.order_id, delivery=first) == (True, Status.COMPLETED)
    assert await house.complete(order.order_id, delivery=first) == (False, Status.COMPLETED)
    with pytest.raises(Conflict, match="webhook_differs"):
        await house.complete(order.order_id, delivery=Delivery("msg-1", b"b" * 32))
    assert await house.complete(order.order_id, Fact.NOTHING_PICKED, delivery=Delivery("msg-2", b"c" * 32)) == (
        False,
        Status.COMPLETED,
    )


async def test_short_pick_is_partial_and_charged_for_what_was_picked(house: House) -> None:
    order = await house.preview(milk=2, bread=3)
    await house.confirm(order.order_id)
    await house.complete(order.order_id, picked={"milk": 2, "bread": 1})
    done = await house.order(order.order_id)
    assert (done.outcome, done.total_cents, done.quoted_total_cents) == (
        Outcome.PARTIAL,
        2 * 129 + 249,
        2 * 129 + 3 * 249,
    )
    assert {line.sku: line.picked for line in done.lines} == {"milk": 2, "bread": 1}


async def test_nothing_picked_is_failed_and_costs_nothing(house: House) -> None:
    order = await house.preview()
    await house.confirm(order.order_id)
    assert await house.complete(order.order_id, Fact.NOTHING_PICKED) == (True, Status.FAILED)
    done = await house.order(order.order_id)
    assert (done.total_cents, done.dispatch) == (0, Dispatch.DISPATCHED)
    assert (await house.confirm(order.order_id))[1]


@pytest.mark.parametrize("picked", [{"milk": 3}, {"milk": -1}, {"caviar": 1}])
async def test_counts_that_do_not_fit_the_order_change_nothing(house: House, picked: dict[str, int]) -> None:
    order = await house.preview(milk=2)
    await house.confirm(order.order_id)
    with pytest.raises(Invalid):
        await house.complete(order.order_id, picked=picked)
    assert (await house.order(order.order_id)).status is Status.PROCESSING


async def test_reconciler_finishes_what_a_lost_webhook_left(house: House) -> None:
    order = await house.preview(milk=2)
    await house.confirm(order.order_id)
    house.shelf.state[str(order.order_id)] = inv.GetOrderResponse.COMPLETED
    house.shelf.picked[str(order.order_id)] = {"milk": 1}
    assert await due.claim_silent(house.db, 60) == []
    await house.db.run("UPDATE grocery_orders SET due_at = now()")
    (item,) = await due.claim_silent(house.db, 60)
    await reconcile(house.db, house.inventory, house.metrics, item.order_id)
    done = await house.order(order.order_id)
    assert (done.status, done.outcome) == (Status.COMPLETED, Outcome.PARTIAL)


async def test_foreign_and_missing_orders_are_the_same_nothing(house: House) -> None:
    order = await house.preview()
    house.user_id += 1
    for order_id in (order.order_id, uuid4()):
        for verb in (house.confirm, house.cancel):
            with pytest.raises(NotFound, match="order_not_found"):
                await verb(order_id)
    house.user_id -= 1
