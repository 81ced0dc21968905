"""Two different requests that meet in the middle, held there by name: neither may undo what the other has promised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from autogrocery.kit.process.faults import Fault, Mode, arm
from tests.proofs.battery.stage import settle
from tests.proofs.battery.states import MAKERS, word
from tests.proofs.battery.steps import said

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.gateway_actions import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
ATTEMPTS = 5


async def test_of_two_cancels_that_come_too_late_both_are_told_so(house: House) -> None:
    """The slower one's promise finds the faster one's, and its look at the row comes after inventory's no."""
    for _ in range(ATTEMPTS):
        order_id = await MAKERS["processing_started"](house)
        house.shelf.gate = asyncio.Event()
        with arm(Fault("orders.promise_release", Mode.DELAY, 1), Fault("orders.get", Mode.DELAY, 2)) as calls:
            slower = asyncio.create_task(said("cancel", house, order_id))
            await until(lambda calls=calls: calls.get("orders.promise_release", 0) >= 1)  # type: ignore[misc]
            faster = asyncio.create_task(said("cancel", house, order_id))
            await until(lambda calls=calls, one=faster: calls.get("orders.get", 0) >= 2 or one.done())  # type: ignore[misc]
            met = not faster.done()  # else this process was slow, and the slower one came first
            house.shelf.gate.set()
            answers = await faster, await slower
        if met:
            break
    assert answers == ("409 too_late_to_cancel", "409 too_late_to_cancel")


async def test_a_cancel_between_inventorys_yes_and_the_confirms_commit_is_not_forgotten(house: House) -> None:
    order_id = await MAKERS["idle"](house)
    with arm(Fault("orders.mark_dispatched", Mode.DELAY, 1)) as calls:
        confirming = asyncio.create_task(said("confirm", house, order_id))
        await until(lambda: calls.get("orders.mark_dispatched", 0) >= 1)
        house.shelf.trouble = {"ReleaseItems": grpc.StatusCode.UNAVAILABLE}
        assert await said("cancel", house, order_id) == "202 releasing"
        assert await confirming == "409 order_cancelled"
    assert word(await house.order(order_id)) == "PREVIEWED releasing CANCELLED"
    await settle(house, order_id)
    assert word(await house.order(order_id)) == "CANCELLED"


async def test_an_expiry_between_a_confirms_doubt_and_its_promise_ends_the_order_once(house: House) -> None:
    order_id = await MAKERS["idle"](house)
    house.shelf.trouble, house.shelf.after_effect = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}, True
    with arm(Fault("orders.promise_dispatch", Mode.DELAY, 1)) as calls:
        confirming = asyncio.create_task(said("confirm", house, order_id))
        await until(lambda: calls.get("orders.promise_dispatch", 0) >= 1)
        await house.db.run("UPDATE grocery_orders SET expires_at = now() WHERE order_id = $1", order_id)
        assert await said("expiry", house, order_id) == "PROCESSING"
        assert await confirming == "200 PROCESSING"
    await settle(house, order_id)
    assert house.shelf.dispatches[str(order_id)] == 1


async def test_a_webhook_between_inventorys_yes_and_the_confirms_commit_is_the_last_word(house: House) -> None:
    order_id = await MAKERS["idle"](house)
    with arm(Fault("orders.mark_dispatched", Mode.DELAY, 1)) as calls:
        confirming = asyncio.create_task(said("confirm", house, order_id))
        await until(lambda: calls.get("orders.mark_dispatched", 0) >= 1)
        assert await said("webhook_full", house, order_id) == "applied COMPLETED"
        assert await confirming == "200 COMPLETED"
    await settle(house, order_id)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is awaited is a count
            await asyncio.sleep(0.005)
