"""Short picks through gateway, inventory, pricing and receipt: missing units are neither charged nor in stock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.running_inventory import Picked

if TYPE_CHECKING:
    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
SKUS = ("milk", "yoghurt", "apple", "baguette")


async def taken(mart: Mart, before: dict[str, int]) -> dict[str, int]:
    """Return by SKU how many units are no longer available."""
    after = await mart.available(*SKUS)
    return {sku: before[sku] - after[sku] for sku in SKUS if before[sku] != after[sku]}


async def test_a_short_line_is_charged_as_picked_at_the_quoted_price_and_written_off(mart: Mart) -> None:
    device, before, lost = await mart.device(), await mart.available(*SKUS), await mart.shrink("milk")
    order_id = await device.processing(milk=3, apple=2)
    await mart.stock(price_change_cents=500, milk=1, apple=1)  # a higher price now does not change the quote
    await mart.pick(order_id, "dairy", Picked.SHORT, milk=1)
    await mart.pick(order_id, "produce")
    order = await device.wait_for_status(order_id, "COMPLETED")
    assert (order["outcome"], order["total_cents"], order["quoted_total_cents"]) == (
        "PARTIAL",
        129 + 2 * 45,
        3 * 129 + 2 * 45,
    )
    lines = {line["sku"]: (line["quantity"], line["picked"], line["line_total_cents"]) for line in order["items"]}
    assert lines == {"milk": (3, 1, 129), "apple": (2, 2, 90)}
    assert await taken(mart, before) == {"milk": 3 - 1, "apple": 2 - 1}
    assert (await mart.shrink("milk") - lost, await mart.shrink("apple")) == (-2, 0)
    receipt = await mart.receipt(order_id)
    assert "2.19" in receipt


async def test_a_failed_assignment_is_not_charged_and_stays_in_stock(mart: Mart) -> None:
    lost = await mart.shrink("milk")
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.processing(milk=3, baguette=1)
    await mart.pick(order_id, "dairy", Picked.FAILED)
    await mart.pick(order_id, "bread")
    order = await device.wait_for_status(order_id, "COMPLETED")
    assert (order["outcome"], order["total_cents"]) == ("PARTIAL", 249)
    assert {line["sku"]: line["picked"] for line in order["items"]} == {"milk": 0, "baguette": 1}
    assert await taken(mart, before) == {"baguette": 1}
    assert await mart.shrink("milk") == lost


async def test_an_order_with_nothing_picked_fails_without_charge_or_receipt(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.processing(yoghurt=3, baguette=1)
    await mart.pick(order_id, "dairy", Picked.FAILED)
    await mart.pick(order_id, "bread", Picked.FAILED)
    order = await device.wait_for_status(order_id, "FAILED")
    assert (order["outcome"], order["total_cents"], order["quoted_total_cents"]) == (None, 0, 3 * 89 + 249)
    assert await taken(mart, before) == {}
    assert (await device.confirm(order_id)).status == 200
    assert (await device.cancel(order_id)).code == "too_late_to_cancel"
    done = await device.processing(apple=1)
    await mart.pick(done, "produce")
    await mart.receipt(done)  # the receipt of a later order is written
    assert not (mart.receipts / f"{order_id}.eml").exists()


async def test_a_full_order_is_charged_as_quoted(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(yoghurt=2, baguette=1)
    await mart.pick(order_id, "dairy")
    await mart.pick(order_id, "bread")
    order = await device.wait_for_status(order_id, "COMPLETED")
    assert (order["outcome"], order["total_cents"], order["quoted_total_cents"]) == ("FULL", 427, 427)
