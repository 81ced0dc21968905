"""Two requests interleaved at a named fault point: neither undoes what the other has promised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from autogrocery.kit.process.faults import Fault, Mode, arm
from tests.harness.waiting import until
from tests.proofs.battery.environment import check_final_state
from tests.proofs.battery.states import STATES, row_state
from tests.proofs.battery.steps import answer_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from tests.harness.gateway_actions import GatewayActions

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAX_ATTEMPTS = 5


async def test_two_concurrent_late_cancels_both_return_409_too_late(gateway: GatewayActions) -> None:
    """The slower cancel finds the faster one's promise, and reads the row after inventory has refused the release."""
    for _ in range(MAX_ATTEMPTS):
        order_id = await STATES["processing_started"](gateway)
        gateway.fake_inventory.gate = asyncio.Event()
        with arm(Fault("orders.promise_release", Mode.DELAY, 1), Fault("orders.get", Mode.DELAY, 2)) as calls:
            slower = asyncio.create_task(answer_of("cancel", gateway, order_id))
            await until(lambda calls=calls: calls.get("orders.promise_release", 0) >= 1)  # type: ignore[misc]
            faster = asyncio.create_task(answer_of("cancel", gateway, order_id))
            await until(lambda calls=calls, one=faster: calls.get("orders.get", 0) >= 2 or one.done())  # type: ignore[misc]
            met = not faster.done()  # otherwise this process was slow and the first cancel ended first: try again
            gateway.fake_inventory.gate.set()
            answers = await faster, await slower
        if met:
            break
    assert answers == ("409 too_late_to_cancel", "409 too_late_to_cancel")


async def test_a_cancel_between_assignment_and_commit_of_a_confirm_wins(
    gateway: GatewayActions,
) -> None:
    order_id = await STATES["idle"](gateway)
    with arm(Fault("orders.mark_dispatched", Mode.DELAY, 1)) as calls:
        confirming = asyncio.create_task(answer_of("confirm", gateway, order_id))
        await until(lambda: calls.get("orders.mark_dispatched", 0) >= 1)
        gateway.fake_inventory.abort_with = {"ReleaseItems": grpc.StatusCode.UNAVAILABLE}
        assert await answer_of("cancel", gateway, order_id) == "202 releasing"
        assert await confirming == "409 order_cancelled"
    assert row_state(await gateway.order(order_id)) == "PREVIEWED releasing CANCELLED"
    await check_final_state(gateway, order_id)
    assert row_state(await gateway.order(order_id)) == "CANCELLED"


async def confirm_in_doubt_of_an_expired_quote(
    gateway: GatewayActions, order_id: UUID, calls: Mapping[str, int]
) -> asyncio.Task[str]:
    """Begin a confirm whose call has its effect without an answer, and let its quote expire before its promise."""
    gateway.fake_inventory.abort_with, gateway.fake_inventory.after_effect = (
        {"AssignRobots": grpc.StatusCode.UNAVAILABLE},
        True,
    )
    confirming = asyncio.create_task(answer_of("confirm", gateway, order_id))
    await until(lambda: calls.get("orders.promise_dispatch", 0) >= 1)
    await gateway.db.run("UPDATE grocery_orders SET expires_at = now() WHERE order_id = $1", order_id)
    return confirming


async def test_an_expiry_between_doubt_and_promise_of_a_confirm_dispatches_once(gateway: GatewayActions) -> None:
    order_id = await STATES["idle"](gateway)
    with arm(Fault("orders.promise_dispatch", Mode.DELAY, 1)) as calls:
        confirming = await confirm_in_doubt_of_an_expired_quote(gateway, order_id, calls)
        assert await answer_of("expiry", gateway, order_id) == "PROCESSING"
        assert await confirming == "200 PROCESSING"
    await check_final_state(gateway, order_id)
    assert gateway.fake_inventory.dispatches[str(order_id)] == 1


async def test_a_confirm_in_doubt_is_not_told_of_an_expiry_that_inventory_may_still_refuse(
    gateway: GatewayActions,
) -> None:
    order_id = await STATES["idle"](gateway)
    with arm(Fault("orders.promise_dispatch", Mode.DELAY, 1)) as calls:
        confirming = await confirm_in_doubt_of_an_expired_quote(gateway, order_id, calls)
        gateway.fake_inventory.gate = asyncio.Event()
        expiring = asyncio.create_task(answer_of("expiry", gateway, order_id))
        # The confirm asks too, instead of answering 410.
        await until(lambda: calls.get("inventory.release_items", 0) >= 2)
        gateway.fake_inventory.gate.set()
        assert await expiring == "PROCESSING"
        assert await confirming == "200 PROCESSING"
    await check_final_state(gateway, order_id)
    assert gateway.fake_inventory.dispatches[str(order_id)] == 1


async def test_a_webhook_between_assignment_and_commit_of_a_confirm_completes_the_order(
    gateway: GatewayActions,
) -> None:
    order_id = await STATES["idle"](gateway)
    with arm(Fault("orders.mark_dispatched", Mode.DELAY, 1)) as calls:
        confirming = asyncio.create_task(answer_of("confirm", gateway, order_id))
        await until(lambda: calls.get("orders.mark_dispatched", 0) >= 1)
        assert await answer_of("webhook_full", gateway, order_id) == "applied COMPLETED"
        assert await confirming == "200 COMPLETED"
    await check_final_state(gateway, order_id)
