"""A delivery through gateway, inventory and pricing: announced, put away line by line, and sold."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from autogrocery.client import Goods, Manifest, Problem, Restock, RetryLimits, Truck
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import Kind
from autogrocery.kit.process.clock import now
from autogrocery.kit.security.passwords import open_password_hasher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a truck's password of its own"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def truck(mart: Mart) -> AsyncIterator[Truck]:
    """A truck of the supplier `farm`, registered as an operator registers one."""
    async with open_password_hasher(10) as passwords:
        await register(
            mart.gateway.db, passwords, "truck-1", PASSWORD, kind=Kind.TRUCK, supplier_id="farm", supplier_name="Farm"
        )
    async with Truck(mart.gateway.public, "truck-1", PASSWORD, retry_limits=RetryLimits(20, 5)) as opened:
        yield opened


def goods(sku: str, aisle: str, quantity: int, cost_cents: int = 100) -> Goods:
    today = now().date()
    keeps = today + timedelta(days=9)
    return Goods(sku, sku.title(), aisle, quantity, today, keeps, cost_cents)  # type: ignore[arg-type]


async def put_away(
    mart: Mart, restock: Restock, robot_id: str, *, done: bool = True, damaged: int = 0, **received: int
) -> None:
    """Start the putaway of a robot's aisle and report it, as that robot."""
    aisle = robot_id.split("-", maxsplit=1)[0]
    row = await mart.inventory_db.row(
        "SELECT assignment_id FROM inventory.putaways WHERE order_id = $1::text::uuid AND aisle = $2",
        restock.order_id,
        aisle,
    )
    assert row is not None
    assignment_id = str(row["assignment_id"])
    assert assignment_id in [one.assignment_id for one in await mart.inventory.work(robot_id)]
    lease = await mart.inventory.start(robot_id, assignment_id)
    assert lease.granted
    await mart.inventory.put_away(robot_id, assignment_id, lease.fence, done=done, damaged=damaged, **received)


async def test_each_line_is_available_once_put_away_and_a_new_product_is_priced_by_its_cost(
    mart: Mart, truck: Truck
) -> None:
    device, before = await mart.device(), (await mart.available("milk"))["milk"]
    load = [goods("milk", "dairy", 10), goods("sourdough", "bread", 5, cost_cents=201)]
    restock = await truck.restock(Manifest("farm", "Farm", load, "2026-1"))
    assert (restock.status, restock.dispatch) == ("RECEIVING", "dispatched")
    await put_away(mart, restock, "dairy-1", done=False, milk=4)
    assert (await mart.available("milk"))["milk"] == before + 4
    assert (await device.preview(sourdough=1)).code == "insufficient_stock"  # announced, not put away yet
    await put_away(mart, restock, "bread-1", sourdough=5)
    order_id = await device.processing(sourdough=2)
    assert (await device.order(order_id))["items"][0]["unit_price_cents"] == 262  # cost 201 plus 30 %, rounded up
    await mart.pick(order_id, "bread")
    await device.wait_for_status(order_id, "COMPLETED")
    assert (await truck.status(restock.order_id)).status == "RECEIVING"
    await put_away(mart, restock, "dairy-1", milk=10)
    assert (await mart.available("milk"))["milk"] == before + 10
    done = await truck.finished(restock.order_id, within_s=10)
    assert (done.status, {line.sku: (line.received, line.short, line.over) for line in done.items}) == (
        "RECEIVED",
        {"milk": (10, 0, 0), "sourdough": (5, 0, 0)},
    )


async def test_short_over_and_damaged_units_are_counted_by_line_and_only_good_ones_are_available(
    mart: Mart, truck: Truck
) -> None:
    before = await mart.available("milk", "yoghurt", "apple")
    load = [goods("milk", "dairy", 10), goods("yoghurt", "dairy", 10), goods("apple", "produce", 10)]
    restock = await truck.restock(Manifest("farm", "Farm", load, "2026-2"))
    await put_away(mart, restock, "dairy-1", damaged=2, milk=9, yoghurt=12)
    await put_away(mart, restock, "produce-1", apple=10)
    done = await truck.finished(restock.order_id, within_s=10)
    assert {line.sku: (line.received, line.short, line.over, line.damaged) for line in done.items} == {
        "milk": (9, 1, 0, 2),
        "yoghurt": (12, 0, 2, 2),
        "apple": (10, 0, 0, 0),
    }
    after = await mart.available("milk", "yoghurt", "apple")
    assert {sku: after[sku] - before[sku] for sku in after} == {"milk": 7, "yoghurt": 10, "apple": 10}


async def test_a_delivery_without_good_units_is_rejected(mart: Mart, truck: Truck) -> None:
    before = await mart.available("milk")
    restock = await truck.restock(Manifest("farm", "Farm", [goods("milk", "dairy", 3)], "2026-3"))
    await put_away(mart, restock, "dairy-1", damaged=3, milk=3)
    assert (await truck.finished(restock.order_id, within_s=10)).status == "REJECTED"
    assert await mart.available("milk") == before


async def test_a_repeated_manifest_is_the_same_delivery_and_a_changed_one_is_refused(mart: Mart, truck: Truck) -> None:
    manifest = Manifest("farm", "Farm", [goods("apple", "produce", 3)], "2026-4")
    first, again = await truck.restock(manifest), await truck.restock(manifest)
    assert first.order_id == again.order_id
    with pytest.raises(Problem, match="manifest_mismatch"):
        await truck.restock(Manifest("farm", "Farm", [goods("apple", "produce", 4)], "2026-4"))
    before = await mart.available("apple")
    await put_away(mart, first, "produce-1", apple=3)
    assert (await truck.finished(first.order_id, within_s=10)).status == "RECEIVED"
    assert (await mart.available("apple"))["apple"] == before["apple"] + 3


async def test_a_manifest_with_a_wrong_aisle_is_refused_as_a_whole(mart: Mart, truck: Truck) -> None:
    before = await mart.available("apple", "milk")
    wrong = [goods("apple", "produce", 3), goods("milk", "bread", 3)]
    with pytest.raises(Problem, match="restock_refused"):
        await truck.restock(Manifest("farm", "Farm", wrong, "2026-5"))
    assert await mart.inventory.work("produce-1") == []
    assert await mart.available("apple", "milk") == before


@pytest.mark.parametrize("quantity", [-5, 0])
async def test_a_manifest_with_a_quantity_below_one_changes_nothing(mart: Mart, truck: Truck, quantity: int) -> None:
    before = await mart.available("milk")
    with pytest.raises(Problem, match="invalid_request"):
        await truck.restock(Manifest("farm", "Farm", [goods("milk", "dairy", quantity)], f"2026-6{quantity}"))
    assert await mart.available("milk") == before


async def test_the_audit_finds_a_delivery_with_different_counts(mart: Mart, truck: Truck) -> None:
    restock = await truck.restock(Manifest("farm", "Farm", [goods("apple", "produce", 3)], "2026-7"))
    await put_away(mart, restock, "produce-1", apple=3)
    await truck.finished(restock.order_id, within_s=10)
    assert "deliveries_end_alike" not in await mart.violated()
    more = "UPDATE inventory.restock_lines SET received = received + $2 WHERE order_id = $1::text::uuid"
    await mart.inventory_db.run(more, restock.order_id, 1)
    assert "deliveries_end_alike" in await mart.violated()
    await mart.inventory_db.run(more, restock.order_id, -1)
