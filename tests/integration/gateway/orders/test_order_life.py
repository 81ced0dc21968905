"""An order through every answer of docs/CONTRACT.md#confirm-and-cancel."""

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
from autogrocery.gateway.core.order import Dispatch, Fact, Outcome, Status, WebhookDelivery
from autogrocery.gateway.store import due
from autogrocery.kit.errors import Conflict, Gone, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import GatewayActions

DOWN = grpc.StatusCode.UNAVAILABLE


async def sweep_all(gateway: GatewayActions, patience_s: float = 600) -> None:
    await gateway.db.run("UPDATE grocery_orders SET due_at = now() WHERE intent IS NOT NULL")
    for item in await due.claim_owed(gateway.db):
        await sweep(gateway.store, gateway.inventory, gateway.metrics, item, give_up_after_s=patience_s)


async def make_overdue(gateway: GatewayActions) -> None:
    await gateway.db.run("UPDATE grocery_orders SET expires_at = now() - interval '1 second', due_at = now()")


async def test_preview_confirm_webhook_completes_in_three_versions(gateway: GatewayActions) -> None:
    order = await gateway.preview(milk=2, bread=1)
    assert (order.status, order.total_cents) == (Status.PREVIEWED, 2 * 129 + 249)
    confirmed, settled = await gateway.confirm(order.order_id)
    assert settled
    assert confirmed == await gateway.order(order.order_id)
    assert (confirmed.status, confirmed.dispatch) == (Status.PROCESSING, Dispatch.DISPATCHED)
    assert await gateway.complete(order.order_id) == (True, Status.COMPLETED)
    done = await gateway.order(order.order_id)
    assert (done.outcome, done.total_cents, [line.picked for line in done.lines]) == (
        Outcome.FULL,
        order.total_cents,
        [1, 2],
    )
    assert await gateway.path(order.order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert [(m.status, m.version) for m in gateway.sent] == [("PREVIEWED", 1), ("PROCESSING", 2), ("COMPLETED", 3)]
    assert [m.sequence for m in gateway.sent] == [1, 2, 3]


async def test_eight_concurrent_confirms_dispatch_once(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    answers = await asyncio.gather(*(gateway.confirm(order.order_id) for _ in range(8)))
    assert all(settled and told.status is Status.PROCESSING for told, settled in answers)
    assert gateway.fake_inventory.dispatches[str(order.order_id)] == 1
    assert await gateway.path(order.order_id) == ["PREVIEWED", "PROCESSING"]


@pytest.mark.parametrize("after_effect", [False, True])
async def test_confirm_in_doubt_is_dispatched_by_the_sweeper(gateway: GatewayActions, after_effect: bool) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with, gateway.fake_inventory.after_effect = {"AssignRobots": DOWN}, after_effect
    told, settled = await gateway.confirm(order.order_id)
    assert (settled, told.dispatch, told.status) == (False, Dispatch.IN_DOUBT, Status.PREVIEWED)
    gateway.fake_inventory.abort_with = {}
    await sweep_all(gateway)
    assert (await gateway.order(order.order_id)).status is Status.PROCESSING
    assert gateway.fake_inventory.dispatches[str(order.order_id)] == 1


async def test_a_dispatch_intent_outlives_the_hold(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with = {"AssignRobots": DOWN}
    await gateway.confirm(order.order_id)
    await make_overdue(gateway)
    assert await due.claim_expired(gateway.db) == []
    gateway.fake_inventory.abort_with = {}
    assert (await gateway.confirm(order.order_id))[1]


async def test_a_dispatch_owed_for_too_long_fails_only_after_the_release(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with = {"AssignRobots": DOWN}
    await gateway.confirm(order.order_id)
    await sweep_all(gateway, patience_s=-1)
    failed = await gateway.order(order.order_id)
    assert (failed.status, failed.total_cents) == (Status.FAILED, 0)
    assert gateway.fake_inventory.state[str(order.order_id)] == inv.GetOrderResponse.RELEASED


async def test_confirm_without_robots_is_refused_after_the_release(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.refuse_robots = True
    with pytest.raises(Conflict) as refusal:
        await gateway.confirm(order.order_id)
    assert refusal.value.code == "no_robots"
    assert (await gateway.order(order.order_id)).status is Status.FAILED
    with pytest.raises(Conflict, match="no_robots"):
        await gateway.confirm(order.order_id)
    with pytest.raises(Conflict, match="too_late_to_cancel"):
        await gateway.cancel(order.order_id)


async def test_confirm_without_robots_and_without_a_clear_release_returns_202(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.refuse_robots, gateway.fake_inventory.abort_with = True, {"ReleaseItems": DOWN}
    told, settled = await gateway.confirm(order.order_id)
    assert (settled, told.dispatch) == (False, Dispatch.RELEASING)
    gateway.fake_inventory.abort_with = {}
    await sweep_all(gateway)
    assert (await gateway.order(order.order_id)).status is Status.FAILED


async def test_refusal_after_a_dispatch_whose_answer_was_lost_ends_processing(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with, gateway.fake_inventory.after_effect = {"AssignRobots": DOWN}, True
    await gateway.confirm(order.order_id)
    gateway.fake_inventory.abort_with = {}
    await sweep_all(gateway, patience_s=-1)
    assert (await gateway.order(order.order_id)).status is Status.PROCESSING
    assert (await gateway.confirm(order.order_id))[1]


async def test_cancel_of_a_preview_releases_its_stock_once(gateway: GatewayActions) -> None:
    order = await gateway.preview(milk=5)
    assert gateway.fake_inventory.stock["milk"] == 995
    for _ in range(2):
        told, settled = await gateway.cancel(order.order_id)
        assert (settled, told.status) == (True, Status.CANCELLED)
    assert gateway.fake_inventory.stock["milk"] == 1_000
    with pytest.raises(Conflict, match="order_cancelled"):
        await gateway.confirm(order.order_id)


async def test_cancel_in_doubt_is_202_then_cancelled(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with = {"ReleaseItems": DOWN}
    told, settled = await gateway.cancel(order.order_id)
    assert (settled, told.dispatch) == (False, Dispatch.RELEASING)
    assert not (await gateway.cancel(order.order_id))[1]
    with pytest.raises(Conflict, match="order_cancelled"):
        await gateway.confirm(order.order_id)
    gateway.fake_inventory.abort_with = {}
    await sweep_all(gateway)
    assert (await gateway.order(order.order_id)).status is Status.CANCELLED


async def test_cancel_while_processing_succeeds_only_before_picking_has_started(gateway: GatewayActions) -> None:
    first, second = await gateway.preview(milk=1), await gateway.preview(milk=1)
    await gateway.confirm(first.order_id)
    await gateway.confirm(second.order_id)
    gateway.fake_inventory.started.add(str(second.order_id))
    told, settled = await gateway.cancel(first.order_id)
    assert (settled, told.status) == (True, Status.CANCELLED)
    assert await gateway.path(first.order_id) == ["PREVIEWED", "PROCESSING", "CANCELLED"]
    for _ in range(2):
        with pytest.raises(Conflict, match="too_late_to_cancel"):
            await gateway.cancel(second.order_id)
    assert (await gateway.order(second.order_id)).dispatch is Dispatch.DISPATCHED


async def test_expired_order_answers_410_to_confirm_and_cancel_and_releases_its_stock(gateway: GatewayActions) -> None:
    order = await gateway.preview(milk=3)
    assert await expire(gateway.store, gateway.inventory, gateway.metrics, order.order_id) is None
    await make_overdue(gateway)
    for verb in (gateway.confirm, gateway.cancel):
        with pytest.raises(Gone, match="hold_expired"):
            await verb(order.order_id)
    (item,) = await due.claim_expired(gateway.db)
    await expire(gateway.store, gateway.inventory, gateway.metrics, item.order_id)
    assert (await gateway.order(order.order_id)).status is Status.EXPIRED
    assert gateway.fake_inventory.stock["milk"] == 1_000
    for verb in (gateway.confirm, gateway.cancel):
        with pytest.raises(Gone, match="hold_expired"):
            await verb(order.order_id)


async def test_expiry_after_a_dispatch_ends_processing(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with, gateway.fake_inventory.after_effect = {"AssignRobots": DOWN}, True
    await gateway.confirm(order.order_id)
    await gateway.db.run("UPDATE grocery_orders SET intent = NULL, intent_at = NULL")  # the promise's commit was lost
    await make_overdue(gateway)
    gateway.fake_inventory.abort_with = {}
    released = await expire(gateway.store, gateway.inventory, gateway.metrics, order.order_id)
    assert released is not None
    assert released.status is Status.PROCESSING


async def test_same_key_names_the_same_order(gateway: GatewayActions) -> None:
    first = await gateway.preview(key="basket-1", milk=1)
    assert (await gateway.preview(key="basket-1", milk=1)).order_id == first.order_id
    with pytest.raises(Invalid, match="idempotency_mismatch"):
        await gateway.preview(key="basket-1", milk=2)
    gateway.fake_pricing.abort_with = DOWN
    assert (await gateway.preview(key="basket-1", milk=1)).order_id == first.order_id
    assert gateway.fake_inventory.stock["milk"] == 999


async def test_key_of_a_cancelled_order_replays_it(gateway: GatewayActions) -> None:
    order = await gateway.preview(key="k", milk=1)
    await gateway.cancel(order.order_id)
    assert (await gateway.preview(key="k", milk=1)).status is Status.CANCELLED


async def test_key_whose_hold_was_released_without_a_row_is_refused_as_used(gateway: GatewayActions) -> None:
    order = await gateway.preview(key="k")
    gateway.fake_inventory.state[str(order.order_id)] = inv.GetOrderResponse.RELEASED
    await gateway.db.run(
        "SET LOCAL session_replication_role = replica; DELETE FROM order_history;"
        " DELETE FROM order_lines; DELETE FROM grocery_orders"
    )
    with pytest.raises(Conflict, match="key_used"):
        await gateway.preview(key="k")


async def test_shortage_and_unknown_sku_are_refused_with_different_codes(gateway: GatewayActions) -> None:
    gateway.fake_inventory.stock["bread"] = 900
    with pytest.raises(Conflict) as shortage:
        await gateway.preview(milk=999, bread=999)
    assert [(flaw.sku, flaw.requested, flaw.available) for flaw in shortage.value.errors] == [("bread", 999, 900)]
    with pytest.raises(Invalid, match="unknown_sku"):
        await gateway.preview(caviar=1, bread=999)


async def test_allow_partial_grants_what_is_available(gateway: GatewayActions) -> None:
    gateway.fake_inventory.stock["bread"] = 3
    order = await gateway.preview(partial=True, milk=1, bread=5)
    assert {line.sku: (line.quantity, line.requested) for line in order.lines} == {"bread": (3, 5), "milk": (1, 1)}
    assert order.total_cents == 3 * 249 + 129


async def test_shortage_by_the_devices_own_older_preview_releases_that_preview(gateway: GatewayActions) -> None:
    older = await gateway.preview(milk=900)
    newer = await gateway.preview(milk=800)
    assert (await gateway.order(older.order_id)).status is Status.CANCELLED
    assert (await gateway.order(newer.order_id)).status is Status.PREVIEWED


@pytest.mark.parametrize("peer", ["pricing", "inventory"])
async def test_preview_without_a_peer_is_unavailable(gateway: GatewayActions, peer: str) -> None:
    if peer == "pricing":
        gateway.fake_pricing.abort_with = DOWN
    else:
        gateway.fake_inventory.abort_with = {"ReserveItems": DOWN}
    with pytest.raises(Unavailable) as trouble:
        await gateway.preview(key="k")
    assert trouble.value.code == f"{peer}_unavailable"
    gateway.fake_pricing.abort_with, gateway.fake_inventory.abort_with = None, {}
    assert (await gateway.preview(key="k")).status is Status.PREVIEWED


async def test_webhook_before_confirm_is_applied_only_if_inventory_has_dispatched(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    delivery = WebhookDelivery("msg-1", b"x" * 32)
    with pytest.raises(Conflict, match="not_dispatched"):
        await gateway.complete(order.order_id, delivery=delivery)
    gateway.fake_inventory.abort_with = {"GetOrder": DOWN}
    with pytest.raises(Unavailable):
        await gateway.complete(order.order_id, delivery=delivery)
    gateway.fake_inventory.abort_with = {}
    gateway.fake_inventory.state[str(order.order_id)] = inv.GetOrderResponse.COMPLETED
    assert await gateway.complete(order.order_id, delivery=delivery) == (True, Status.COMPLETED)
    assert await gateway.path(order.order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert [m.version for m in gateway.sent] == [1, 2, 3]


async def test_webhook_overtakes_a_confirm_in_doubt(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.abort_with, gateway.fake_inventory.after_effect = {"AssignRobots": DOWN}, True
    await gateway.confirm(order.order_id)
    assert await gateway.complete(order.order_id) == (True, Status.COMPLETED)
    gateway.fake_inventory.abort_with = {}
    await sweep_all(gateway)
    assert (await gateway.confirm(order.order_id))[1]
    assert await gateway.path(order.order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]


async def test_duplicate_webhook_gets_the_same_answer_and_another_body_conflicts(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    await gateway.confirm(order.order_id)
    first = WebhookDelivery("msg-1", b"a" * 32)
    assert await gateway.complete(order.order_id, delivery=first) == (True, Status.COMPLETED)
    assert await gateway.complete(order.order_id, delivery=first) == (False, Status.COMPLETED)
    with pytest.raises(Conflict, match="webhook_differs"):
        await gateway.complete(order.order_id, delivery=WebhookDelivery("msg-1", b"b" * 32))
    assert await gateway.complete(
        order.order_id, Fact.NOTHING_PICKED, delivery=WebhookDelivery("msg-2", b"c" * 32)
    ) == (
        False,
        Status.COMPLETED,
    )


async def test_short_pick_is_partial_and_charged_for_what_was_picked(gateway: GatewayActions) -> None:
    order = await gateway.preview(milk=2, bread=3)
    await gateway.confirm(order.order_id)
    await gateway.complete(order.order_id, picked={"milk": 2, "bread": 1})
    done = await gateway.order(order.order_id)
    assert (done.outcome, done.total_cents, done.quoted_total_cents) == (
        Outcome.PARTIAL,
        2 * 129 + 249,
        2 * 129 + 3 * 249,
    )
    assert {line.sku: line.picked for line in done.lines} == {"milk": 2, "bread": 1}


async def test_nothing_picked_is_failed_and_costs_nothing(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    await gateway.confirm(order.order_id)
    assert await gateway.complete(order.order_id, Fact.NOTHING_PICKED) == (True, Status.FAILED)
    done = await gateway.order(order.order_id)
    assert (done.total_cents, done.dispatch) == (0, Dispatch.DISPATCHED)
    assert (await gateway.confirm(order.order_id))[1]


@pytest.mark.parametrize("picked", [{"milk": 3}, {"milk": -1}, {"caviar": 1}])
async def test_counts_that_do_not_fit_the_order_change_nothing(gateway: GatewayActions, picked: dict[str, int]) -> None:
    order = await gateway.preview(milk=2)
    await gateway.confirm(order.order_id)
    with pytest.raises(Invalid):
        await gateway.complete(order.order_id, picked=picked)
    assert (await gateway.order(order.order_id)).status is Status.PROCESSING


async def test_reconciler_finishes_what_a_lost_webhook_left(gateway: GatewayActions) -> None:
    order = await gateway.preview(milk=2)
    await gateway.confirm(order.order_id)
    gateway.fake_inventory.state[str(order.order_id)] = inv.GetOrderResponse.COMPLETED
    gateway.fake_inventory.picked[str(order.order_id)] = {"milk": 1}
    assert await due.claim_silent(gateway.db, 60) == []
    await gateway.db.run("UPDATE grocery_orders SET due_at = now()")
    (item,) = await due.claim_silent(gateway.db, 60)
    await reconcile(gateway.store, gateway.inventory, gateway.metrics, item.order_id)
    done = await gateway.order(order.order_id)
    assert (done.status, done.outcome) == (Status.COMPLETED, Outcome.PARTIAL)


async def test_another_devices_order_and_a_missing_order_get_the_same_404(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    gateway.user_id += 1
    for order_id in (order.order_id, uuid4()):
        for verb in (gateway.confirm, gateway.cancel):
            with pytest.raises(NotFound, match="order_not_found"):
                await verb(order_id)
    gateway.user_id -= 1
