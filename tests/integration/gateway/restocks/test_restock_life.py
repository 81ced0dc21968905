"""A restock from announcement to end: submitted once, counted as it comes, published as it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.view_restock import view_restock
from autogrocery.gateway.core.order import Dispatch, WebhookDelivery
from autogrocery.gateway.core.restock import RestockFact, RestockIntent, RestockStatus
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import restock_loops
from autogrocery.gateway.store.due import ATTENTION_AFTER
from autogrocery.kit.errors import Conflict, Denied, Invalid, NotFound
from tests.harness.fake_peers import RestockState
from tests.harness.truck_actions import BREAD, MILK, TruckActions, add_truck

if TYPE_CHECKING:
    from uuid import UUID

ACCEPTED, SHELVED, REFUSED = RestockFact.ACCEPTED, RestockFact.SHELVED, RestockFact.REFUSED
DOWN = grpc.StatusCode.UNAVAILABLE
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_counts_of_a_delivery_grow_line_by_line(truck: TruckActions) -> None:
    assert await truck.restock(truck.manifest()) == "201 RECEIVING"
    order_id = truck.id_of(truck.manifest())
    assert await truck.update(order_id, ACCEPTED, {"milk": (12, 1)}) == (True, RestockStatus.RECEIVING)
    assert await truck.update(order_id, SHELVED, {"milk": (18, 1), "bread": (6, 0)}) == (True, RestockStatus.RECEIVED)
    out = await view_restock(truck.gateway.db, truck.truck_id, order_id)
    assert [(one.sku, one.quantity, one.received, one.short, one.over, one.damaged) for one in out.items] == [
        ("bread", 5, 6, 0, 1, 0),
        ("milk", 20, 18, 2, 0, 1),
    ]
    assert (out.status, out.dispatch, out.finished_at is not None) == ("RECEIVED", "dispatched", True)
    assert truck.gateway.fake_pricing.costs == {"milk": 90, "bread": 120}
    assert await truck.path(order_id) == truck.published(order_id) == ["ANNOUNCED", "RECEIVING", "RECEIVED"]


async def test_a_repeated_announcement_of_a_manifest_submits_it_once(truck: TruckActions) -> None:
    answers = await asyncio.gather(*(truck.restock(truck.manifest()) for _ in range(8)))
    assert sorted(answers) == ["200 RECEIVING"] * 7 + ["201 RECEIVING"]
    turned = truck.manifest("m-1", BREAD, MILK)
    assert await truck.restock(turned, key="another") == "200 RECEIVING"
    other_truck = await add_truck(truck.gateway.db, truck.supplier_id)
    assert await truck.restock(truck.manifest(), truck_id=other_truck) == "200 RECEIVING"
    assert truck.gateway.fake_inventory.arrivals[str(truck.id_of(truck.manifest()))] == 1
    assert await truck.path(truck.id_of(truck.manifest())) == ["ANNOUNCED", "RECEIVING"]


async def test_a_manifest_number_with_other_goods_is_refused(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    with pytest.raises(Invalid, match="manifest_mismatch"):
        await truck.restock(truck.manifest("m-1", MILK))


async def test_of_two_concurrent_manifests_with_one_number_one_is_written(truck: TruckActions) -> None:
    answers = await asyncio.gather(
        truck.restock(truck.manifest("m-1", MILK)), truck.restock(truck.manifest("m-1", BREAD)), return_exceptions=True
    )
    assert "201 RECEIVING" in answers
    (refused,) = (one for one in answers if isinstance(one, Invalid))
    assert refused.code == "manifest_mismatch"


async def test_without_a_manifest_number_the_trucks_key_identifies_the_restock(truck: TruckActions) -> None:
    assert await truck.restock(truck.manifest(None), "k") == "201 RECEIVING"
    assert await truck.restock(truck.manifest(None), "k") == "200 RECEIVING"
    other_truck = await add_truck(truck.gateway.db, truck.supplier_id)
    assert await truck.restock(truck.manifest(None), "k", truck_id=other_truck) == "201 RECEIVING"
    for other in (truck.manifest(None, MILK), truck.manifest("m-9")):
        with pytest.raises(Invalid, match="idempotency_mismatch"):
            await truck.restock(other, "k")
    with pytest.raises(Invalid, match="idempotency_key_required"):
        await truck.restock(truck.manifest(None))


async def test_a_truck_restocks_for_its_own_supplier_only(truck: TruckActions) -> None:
    unbound, before = await add_truck(truck.gateway.db, None), truck.gateway.fake_inventory.calls["RestockItems"]
    for truck_id in (truck.truck_id, unbound, truck.gateway.user_id):
        with pytest.raises(Denied, match="foreign_supplier"):
            await truck.restock(truck.manifest(supplier_id="zenith"), truck_id=truck_id)
    assert truck.gateway.fake_inventory.calls["RestockItems"] == before


async def test_another_suppliers_restock_is_not_found(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    rival, nobody = await add_truck(truck.gateway.db, "zenith"), await add_truck(truck.gateway.db, None)
    for truck_id, order_id in (
        (rival, truck.id_of(truck.manifest())),
        (nobody, truck.id_of(truck.manifest())),
        (truck.gateway.user_id, truck.id_of(truck.manifest())),
        (truck.truck_id, truck.id_of(truck.manifest("m-2"))),
    ):
        with pytest.raises(NotFound, match="order_not_found"):
            await view_restock(truck.gateway.db, truck_id, order_id)
    sibling = await add_truck(truck.gateway.db, truck.supplier_id)
    assert (await view_restock(truck.gateway.db, sibling, truck.id_of(truck.manifest()))).status == "RECEIVING"


async def test_a_refused_delivery_is_rejected_and_changes_no_price(truck: TruckActions) -> None:
    truck.gateway.fake_inventory.refuse_restocks = "milk stands in another aisle"
    for _ in range(2):
        with pytest.raises(Conflict, match="restock_refused") as refused:
            await truck.restock(truck.manifest())
        assert "another aisle" in refused.value.detail
    order_id = truck.id_of(truck.manifest())
    assert await truck.path(order_id) == truck.published(order_id) == ["ANNOUNCED", "REJECTED"]
    assert (truck.gateway.fake_pricing.costs, (await truck.row(order_id)).intent) == ({}, None)


@pytest.mark.parametrize("after_effect", [False, True])
async def test_without_a_clear_answer_of_inventory_the_sweeper_repeats_the_call(
    truck: TruckActions, *, after_effect: bool
) -> None:
    fake_inventory = truck.gateway.fake_inventory
    fake_inventory.abort_with, fake_inventory.after_effect = {"RestockItems": DOWN}, after_effect
    order_id = truck.id_of(truck.manifest())
    assert [await truck.restock(truck.manifest()) for _ in range(2)] == ["202 in_doubt"] * 2
    assert ((await truck.row(order_id)).intent, truck.gateway.fake_pricing.costs) == (RestockIntent.RESTOCK, {})
    fake_inventory.abort_with = {}
    await sweep(truck)
    row = await truck.row(order_id)
    assert (row.status, row.intent, row.dispatch) == (RestockStatus.RECEIVING, None, Dispatch.DISPATCHED)
    assert (fake_inventory.arrivals[str(order_id)], truck.gateway.fake_pricing.costs["milk"]) == (1, 90)


@pytest.mark.parametrize("after_effect", [False, True])
async def test_without_a_clear_answer_of_pricing_the_truck_still_gets_201(
    truck: TruckActions, *, after_effect: bool
) -> None:
    fake_pricing, order_id = truck.gateway.fake_pricing, truck.id_of(truck.manifest())
    fake_pricing.abort_with, fake_pricing.after_effect = DOWN, after_effect
    assert await truck.restock(truck.manifest()) == "201 RECEIVING"
    assert await truck.update(order_id, SHELVED, {"milk": (20, 0), "bread": (5, 0)}) == (True, RestockStatus.RECEIVED)
    assert (await truck.row(order_id)).intent is RestockIntent.PRICE  # although it has ended
    fake_pricing.abort_with = None
    await sweep(truck)
    assert ((await truck.row(order_id)).intent, fake_pricing.costs) == (None, {"milk": 90, "bread": 120})


async def test_a_webhook_may_overtake_inventorys_answer(truck: TruckActions) -> None:
    fake_inventory, order_id = truck.gateway.fake_inventory, truck.id_of(truck.manifest())
    fake_inventory.abort_with, fake_inventory.after_effect = {"RestockItems": DOWN}, True
    await truck.restock(truck.manifest())
    assert await truck.update(order_id, SHELVED, {"milk": (20, 0)}) == (True, RestockStatus.RECEIVED)
    fake_inventory.abort_with = {}
    assert await truck.restock(truck.manifest()) == "200 RECEIVED"
    assert await truck.path(order_id) == truck.published(order_id) == ["ANNOUNCED", "RECEIVING", "RECEIVED"]
    await sweep(truck)


async def test_counts_that_come_late_or_twice_never_decrease(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    order_id = truck.id_of(truck.manifest())
    later, earlier = WebhookDelivery("msg-2", b"2" * 32), WebhookDelivery("msg-1", b"1" * 32)
    assert await truck.update(order_id, ACCEPTED, {"milk": (9, 2)}, later) == (True, RestockStatus.RECEIVING)
    assert await truck.update(order_id, ACCEPTED, {"milk": (4, 3)}, earlier) == (True, RestockStatus.RECEIVING)
    for delivery in (later, earlier):
        assert await truck.update(order_id, ACCEPTED, {"milk": (9, 2)}, delivery) == (False, RestockStatus.RECEIVING)
    line = (await truck.row(order_id)).lines[1]
    assert (line.received, line.damaged) == (9, 3)
    assert await truck.update(order_id, SHELVED, {"milk": (1, 0)}) == (True, RestockStatus.RECEIVED)
    for fact in RestockFact:
        assert await truck.update(order_id, fact, {"milk": (20, 20)}) == (False, RestockStatus.RECEIVED)
    assert (await truck.row(order_id)).lines[1].received == 9


async def test_a_webhook_id_with_another_body_is_a_conflict_and_changes_nothing(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    order_id = truck.id_of(truck.manifest())
    first, other = WebhookDelivery("msg-1", b"1" * 32), WebhookDelivery("msg-1", b"2" * 32)
    await truck.update(order_id, ACCEPTED, {"milk": (1, 0)}, first)
    for ended in (False, True):
        with pytest.raises(Conflict, match="webhook_differs"):
            await truck.update(order_id, REFUSED, {"milk": (20, 0)}, other)
        if not ended:
            await truck.update(order_id, SHELVED, {}, WebhookDelivery("msg-2", b"2" * 32))
    assert (await truck.row(order_id)).lines[1].received == 1


async def test_concurrent_deliveries_of_a_webhook_are_applied_once(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    order_id = truck.id_of(truck.manifest())
    answers = await asyncio.gather(
        *(truck.update(order_id, SHELVED, {"milk": (20, 0)}, WebhookDelivery("msg-1", b"1" * 32)) for _ in range(6))
    )
    assert sorted(answers) == [(False, RestockStatus.RECEIVED)] * 5 + [(True, RestockStatus.RECEIVED)]
    assert truck.published(order_id) == ["ANNOUNCED", "RECEIVING", "RECEIVED"]


async def test_a_webhook_for_an_unknown_restock_is_refused(truck: TruckActions) -> None:
    with pytest.raises(NotFound, match="order_not_found"):
        await truck.update(truck.id_of(truck.manifest()), SHELVED, {})
    await truck.restock(truck.manifest())
    with pytest.raises(Invalid, match="invalid_request") as refused:
        await truck.update(truck.id_of(truck.manifest()), SHELVED, {"caviar": (1, 0)})
    assert refused.value.errors[0].sku == "caviar"


async def test_a_delivery_may_be_rejected_after_it_was_accepted(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    order_id = truck.id_of(truck.manifest())
    assert await truck.update(order_id, REFUSED, {"milk": (20, 20)}) == (True, RestockStatus.REJECTED)
    assert await truck.restock(truck.manifest()) == "200 REJECTED"
    assert await truck.path(order_id) == ["ANNOUNCED", "RECEIVING", "REJECTED"]


@pytest.mark.parametrize(
    ("state", "status"),
    [(RestockState.RECEIVED, "RECEIVED"), (RestockState.RECEIVING, "RECEIVING"), (RestockState.REJECTED, "REJECTED")],
)
async def test_the_reconciler_replaces_a_lost_webhook(truck: TruckActions, state: int, status: str) -> None:
    await truck.restock(truck.manifest())
    order_id = truck.id_of(truck.manifest())
    truck.gateway.fake_inventory.put_away(str(order_id), {"milk": (7, 1)})
    truck.gateway.fake_inventory.restocks[str(order_id)] = state
    await sweep(truck)
    row = await truck.row(order_id)
    assert (row.status, row.lines[1].received, row.lines[1].damaged) == (status, 7, 1)


async def test_a_contradiction_flags_the_restock_and_changes_nothing(truck: TruckActions) -> None:
    await truck.restock(truck.manifest())
    order_id = truck.id_of(truck.manifest())
    gateway, oid = truck.gateway, str(order_id)
    del gateway.fake_inventory.restocks[oid]
    await reconcile_restock(gateway.db, gateway.inventory, gateway.metrics, order_id)
    assert await attention(truck, order_id)
    gateway.fake_inventory.put_away(oid, {"caviar": (1, 0)})
    await reconcile_restock(gateway.db, gateway.inventory, gateway.metrics, order_id)
    assert (await truck.row(order_id)).status == "RECEIVING"
    gateway.fake_inventory.put_away(oid)
    await reconcile_restock(gateway.db, gateway.inventory, gateway.metrics, order_id)
    assert (await truck.row(order_id)).status == "RECEIVED"
    assert not await attention(truck, order_id)


NONSENSE = [
    inv.GetRestockResponse(state=99),  # type: ignore[arg-type]
    inv.GetRestockResponse(state=1, items=[inv.RestockedItem(sku="milk", received=1, damaged=2)]),
    inv.GetRestockResponse(state=1, items=[inv.RestockedItem(sku="milk", received=-1)]),
    inv.GetRestockResponse(state=1, items=[inv.RestockedItem(sku="milk", received=1)] * 2),
    inv.GetRestockResponse(state=1, items=[inv.RestockedItem(sku="a\0b", received=1)]),
]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_a_restock_about_which_inventory_talks_nonsense_is_shown_to_an_operator(
    truck: TruckActions, nonsense: inv.GetRestockResponse
) -> None:
    await truck.restock(truck.manifest())
    order_id, fake_inventory = truck.id_of(truck.manifest()), truck.gateway.fake_inventory
    nonsense.order_id = str(order_id)
    fake_inventory.rewrite_reply["GetRestock"] = lambda _honest: nonsense
    for _ in range(ATTENTION_AFTER):
        assert not await attention(truck, order_id)
        await sweep(truck)
    assert await attention(truck, order_id)
    fake_inventory.clear_faults()
    for _ in range(2 * ATTENTION_AFTER):
        await sweep(truck)
        assert not await attention(truck, order_id)
    fake_inventory.put_away(str(order_id))
    await sweep(truck)
    assert (await truck.row(order_id)).status == "RECEIVED"


async def attention(truck: TruckActions, order_id: UUID) -> bool:
    row = await truck.gateway.db.row("SELECT attention FROM restock_orders WHERE order_id = $1", order_id)
    assert row is not None
    return row["attention"] is not None


async def sweep(truck: TruckActions) -> None:
    """One turn of the loops of restocks, with all that is looked after being due."""
    gateway = truck.gateway
    await gateway.db.run("UPDATE restock_orders SET due_at = now() WHERE due_at IS NOT NULL")
    deps = Deps(None, gateway.db, gateway.inventory, gateway.pricing, None, gateway.metrics, None, None)  # type: ignore[arg-type]
    for loop in restock_loops(deps):
        await loop._once()
