"""A delivery's life: announced once, handed over once, counted as it comes, told as it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.view_restock import view_restock
from autogrocery.gateway.core.order import Dispatch
from autogrocery.gateway.core.restock import Owed, RestockFact, RestockStatus
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import restock_loops
from autogrocery.gateway.store.moves import Delivery
from autogrocery.kit.errors import Conflict, Denied, Invalid, NotFound
from tests.harness.fake_depot import BREAD, MILK, Depot, add_truck
from tests.harness.fake_peers import RestockState

if TYPE_CHECKING:
    from uuid import UUID

ACCEPTED, SHELVED, REFUSED = RestockFact.ACCEPTED, RestockFact.SHELVED, RestockFact.REFUSED
DOWN = grpc.StatusCode.UNAVAILABLE
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_delivery_goes_to_the_shelf_line_by_line(depot: Depot) -> None:
    assert await depot.restock(depot.manifest()) == "201 RECEIVING"
    order_id = depot.id_of(depot.manifest())
    assert await depot.update(order_id, ACCEPTED, {"milk": (12, 1)}) == (True, RestockStatus.RECEIVING)
    assert await depot.update(order_id, SHELVED, {"milk": (18, 1), "bread": (6, 0)}) == (True, RestockStatus.RECEIVED)
    out = await view_restock(depot.house.db, depot.truck_id, order_id)
    assert [(one.sku, one.quantity, one.received, one.short, one.over, one.damaged) for one in out.items] == [
        ("bread", 5, 6, 0, 1, 0),
        ("milk", 20, 18, 2, 0, 1),
    ]
    assert (out.status, out.dispatch, out.finished_at is not None) == ("RECEIVED", "dispatched", True)
    assert depot.house.prices.costs == {"milk": 90, "bread": 120}
    assert await depot.path(order_id) == depot.told(order_id) == ["ANNOUNCED", "RECEIVING", "RECEIVED"]


async def test_a_manifest_is_restocked_once_however_often_it_is_announced(depot: Depot) -> None:
    answers = await asyncio.gather(*(depot.restock(depot.manifest()) for _ in range(8)))
    assert sorted(answers) == ["200 RECEIVING"] * 7 + ["201 RECEIVING"]
    turned = depot.manifest("m-1", BREAD, MILK)
    assert await depot.restock(turned, key="another") == "200 RECEIVING"
    other_truck = await add_truck(depot.house.db, depot.supplier_id)
    assert await depot.restock(depot.manifest(), truck_id=other_truck) == "200 RECEIVING"
    assert depot.house.shelf.arrivals[str(depot.id_of(depot.manifest()))] == 1
    assert await depot.path(depot.id_of(depot.manifest())) == ["ANNOUNCED", "RECEIVING"]


async def test_a_manifest_with_other_goods_is_another_manifest(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    with pytest.raises(Invalid, match="manifest_mismatch"):
        await depot.restock(depot.manifest("m-1", MILK))


async def test_two_manifests_of_one_number_at_once_leave_one(depot: Depot) -> None:
    answers = await asyncio.gather(
        depot.restock(depot.manifest("m-1", MILK)), depot.restock(depot.manifest("m-1", BREAD)), return_exceptions=True
    )
    assert "201 RECEIVING" in answers
    (refused,) = (one for one in answers if isinstance(one, Invalid))
    assert refused.code == "manifest_mismatch"


async def test_without_a_manifest_number_the_trucks_key_names_the_delivery(depot: Depot) -> None:
    assert await depot.restock(depot.manifest(None), "k") == "201 RECEIVING"
    assert await depot.restock(depot.manifest(None), "k") == "200 RECEIVING"
    other_truck = await add_truck(depot.house.db, depot.supplier_id)
    assert await depot.restock(depot.manifest(None), "k", truck_id=other_truck) == "201 RECEIVING"
    for other in (depot.manifest(None, MILK), depot.manifest("m-9")):
        with pytest.raises(Invalid, match="idempotency_mismatch"):
            await depot.restock(other, "k")
    with pytest.raises(Invalid, match="idempotency_key_required"):
        await depot.restock(depot.manifest(None))


async def test_a_truck_restocks_for_its_own_supplier_only(depot: Depot) -> None:
    unbound, before = await add_truck(depot.house.db, None), depot.house.shelf.calls["RestockItems"]
    for truck_id in (depot.truck_id, unbound, depot.house.user_id):
        with pytest.raises(Denied, match="foreign_supplier"):
            await depot.restock(depot.manifest(supplier_id="zenith"), truck_id=truck_id)
    assert depot.house.shelf.calls["RestockItems"] == before


async def test_another_suppliers_restock_does_not_exist(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    rival, nobody = await add_truck(depot.house.db, "zenith"), await add_truck(depot.house.db, None)
    for truck_id, order_id in (
        (rival, depot.id_of(depot.manifest())),
        (nobody, depot.id_of(depot.manifest())),
        (depot.house.user_id, depot.id_of(depot.manifest())),
        (depot.truck_id, depot.id_of(depot.manifest("m-2"))),
    ):
        with pytest.raises(NotFound, match="order_not_found"):
            await view_restock(depot.house.db, truck_id, order_id)
    sibling = await add_truck(depot.house.db, depot.supplier_id)
    assert (await view_restock(depot.house.db, sibling, depot.id_of(depot.manifest()))).status == "RECEIVING"


async def test_a_refused_delivery_ends_after_the_answer_and_changes_no_price(depot: Depot) -> None:
    depot.house.shelf.refuse_restocks = "milk stands in another aisle"
    for _ in range(2):
        with pytest.raises(Conflict, match="restock_refused") as refused:
            await depot.restock(depot.manifest())
        assert "another aisle" in refused.value.detail
    order_id = depot.id_of(depot.manifest())
    assert await depot.path(order_id) == depot.told(order_id) == ["ANNOUNCED", "REJECTED"]
    assert (depot.house.prices.costs, (await depot.row(order_id)).intent) == ({}, None)


@pytest.mark.parametrize("after_effect", [False, True])
async def test_no_clear_answer_of_inventory_is_a_promise_that_the_sweeper_keeps(
    depot: Depot, *, after_effect: bool
) -> None:
    shelf = depot.house.shelf
    shelf.trouble, shelf.after_effect = {"RestockItems": DOWN}, after_effect
    order_id = depot.id_of(depot.manifest())
    assert [await depot.restock(depot.manifest()) for _ in range(2)] == ["202 in_doubt"] * 2
    assert ((await depot.row(order_id)).intent, depot.house.prices.costs) == (Owed.RESTOCK, {})
    shelf.trouble = {}
    await sweep(depot)
    row = await depot.row(order_id)
    assert (row.status, row.intent, row.dispatch) == (RestockStatus.RECEIVING, None, Dispatch.DISPATCHED)
    assert (shelf.arrivals[str(order_id)], depot.house.prices.costs["milk"]) == (1, 90)


@pytest.mark.parametrize("after_effect", [False, True])
async def test_no_clear_answer_of_pricing_keeps_no_truck_waiting(depot: Depot, *, after_effect: bool) -> None:
    prices, order_id = depot.house.prices, depot.id_of(depot.manifest())
    prices.trouble, prices.after_effect = DOWN, after_effect
    assert await depot.restock(depot.manifest()) == "201 RECEIVING"
    assert await depot.update(order_id, SHELVED, {"milk": (20, 0), "bread": (5, 0)}) == (True, RestockStatus.RECEIVED)
    assert (await depot.row(order_id)).intent is Owed.PRICE  # although it has ended
    prices.trouble = None
    await sweep(depot)
    assert ((await depot.row(order_id)).intent, prices.costs) == (None, {"milk": 90, "bread": 120})


async def test_the_last_word_may_overtake_the_answer(depot: Depot) -> None:
    shelf, order_id = depot.house.shelf, depot.id_of(depot.manifest())
    shelf.trouble, shelf.after_effect = {"RestockItems": DOWN}, True
    await depot.restock(depot.manifest())
    assert await depot.update(order_id, SHELVED, {"milk": (20, 0)}) == (True, RestockStatus.RECEIVED)
    shelf.trouble = {}
    assert await depot.restock(depot.manifest()) == "200 RECEIVED"
    assert await depot.path(order_id) == depot.told(order_id) == ["ANNOUNCED", "RECEIVING", "RECEIVED"]
    await sweep(depot)


async def test_counts_that_come_late_or_twice_never_decrease(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    order_id = depot.id_of(depot.manifest())
    later, earlier = Delivery("msg-2", b"2" * 32), Delivery("msg-1", b"1" * 32)
    assert await depot.update(order_id, ACCEPTED, {"milk": (9, 2)}, later) == (True, RestockStatus.RECEIVING)
    assert await depot.update(order_id, ACCEPTED, {"milk": (4, 3)}, earlier) == (True, RestockStatus.RECEIVING)
    for delivery in (later, earlier):
        assert await depot.update(order_id, ACCEPTED, {"milk": (9, 2)}, delivery) == (False, RestockStatus.RECEIVING)
    line = (await depot.row(order_id)).lines[1]
    assert (line.received, line.damaged) == (9, 3)
    assert await depot.update(order_id, SHELVED, {"milk": (1, 0)}) == (True, RestockStatus.RECEIVED)
    for fact in RestockFact:
        assert await depot.update(order_id, fact, {"milk": (20, 20)}) == (False, RestockStatus.RECEIVED)
    assert (await depot.row(order_id)).lines[1].received == 9


async def test_a_webhook_id_with_another_body_is_a_conflict_and_changes_nothing(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    order_id = depot.id_of(depot.manifest())
    first, other = Delivery("msg-1", b"1" * 32), Delivery("msg-1", b"2" * 32)
    await depot.update(order_id, ACCEPTED, {"milk": (1, 0)}, first)
    for ended in (False, True):
        with pytest.raises(Conflict, match="webhook_differs"):
            await depot.update(order_id, REFUSED, {"milk": (20, 0)}, other)
        if not ended:
            await depot.update(order_id, SHELVED, {}, Delivery("msg-2", b"2" * 32))
    assert (await depot.row(order_id)).lines[1].received == 1


async def test_a_webhook_delivered_many_times_at_once_is_applied_once(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    order_id = depot.id_of(depot.manifest())
    answers = await asyncio.gather(
        *(depot.update(order_id, SHELVED, {"milk": (20, 0)}, Delivery("msg-1", b"1" * 32)) for _ in range(6))
    )
    assert sorted(answers) == [(False, RestockStatus.RECEIVED)] * 5 + [(True, RestockStatus.RECEIVED)]
    assert depot.told(order_id) == ["ANNOUNCED", "RECEIVING", "RECEIVED"]


async def test_a_webhook_for_what_nobody_announced_is_refused(depot: Depot) -> None:
    with pytest.raises(NotFound, match="order_not_found"):
        await depot.update(depot.id_of(depot.manifest()), SHELVED, {})
    await depot.restock(depot.manifest())
    with pytest.raises(Invalid, match="invalid_request") as refused:
        await depot.update(depot.id_of(depot.manifest()), SHELVED, {"caviar": (1, 0)})
    assert refused.value.errors[0].sku == "caviar"


async def test_a_delivery_may_be_turned_away_after_it_was_accepted(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    order_id = depot.id_of(depot.manifest())
    assert await depot.update(order_id, REFUSED, {"milk": (20, 20)}) == (True, RestockStatus.REJECTED)
    assert await depot.restock(depot.manifest()) == "200 REJECTED"
    assert await depot.path(order_id) == ["ANNOUNCED", "RECEIVING", "REJECTED"]


@pytest.mark.parametrize(
    ("state", "status"),
    [(RestockState.RECEIVED, "RECEIVED"), (RestockState.RECEIVING, "RECEIVING"), (RestockState.REJECTED, "REJECTED")],
)
async def test_a_lost_webhook_does_not_matter(depot: Depot, state: int, status: str) -> None:
    await depot.restock(depot.manifest())
    order_id = depot.id_of(depot.manifest())
    depot.house.shelf.put_away(str(order_id), {"milk": (7, 1)})
    depot.house.shelf.restocks[str(order_id)] = state
    await sweep(depot)
    row = await depot.row(order_id)
    assert (row.status, row.lines[1].received, row.lines[1].damaged) == (status, 7, 1)


async def test_a_contradiction_asks_for_attention_and_is_never_guessed_at(depot: Depot) -> None:
    await depot.restock(depot.manifest())
    order_id = depot.id_of(depot.manifest())
    house, oid = depot.house, str(order_id)
    del house.shelf.restocks[oid]
    await reconcile_restock(house.db, house.inventory, house.metrics, order_id)
    assert await attention(depot, order_id)
    house.shelf.put_away(oid, {"caviar": (1, 0)})
    await reconcile_restock(house.db, house.inventory, house.metrics, order_id)
    assert (await depot.row(order_id)).status == "RECEIVING"
    house.shelf.put_away(oid)
    await reconcile_restock(house.db, house.inventory, house.metrics, order_id)
    assert (await depot.row(order_id)).status == "RECEIVED"
    assert not await attention(depot, order_id)


async def attention(depot: Depot, order_id: UUID) -> bool:
    row = await depot.house.db.row("SELECT attention FROM restock_orders WHERE order_id = $1", order_id)
    assert row is not None
    return row["attention"] is not None


async def sweep(depot: Depot) -> None:
    """One turn of the loops of restocks, with all that is looked after being due."""
    house = depot.house
    await house.db.run("UPDATE restock_orders SET due_at = now() WHERE due_at IS NOT NULL")
    for loop in restock_loops(Deps(None, house.db, house.inventory, house.pricing, house.metrics, None)):  # type: ignore[arg-type]
        await loop._once()
