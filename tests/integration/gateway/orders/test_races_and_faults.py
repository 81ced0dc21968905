"""Concurrent calls on one order, and faults at every I/O point."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.release import release
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Cause, Order, Status
from autogrocery.gateway.store import due, transitions
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.process.faults import Fault, Mode, arm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.integration.gateway.orders.conftest import GatewayActions

T = TypeVar("T")
BREAKS = (Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR, Mode.DUPLICATE)


async def outcome(verb: Awaitable[object]) -> object:
    try:
        return await verb
    except (Refused, Unavailable, InDoubt) as answer:
        return answer


async def sweep_all(gateway: GatewayActions) -> None:
    """Sweep as the loops do, until no call is owed."""
    for _ in range(3):
        await gateway.db.run("UPDATE grocery_orders SET due_at = now() WHERE finished_at IS NULL")
        for item in await due.claim_owed(gateway.db):
            await sweep(gateway.store, gateway.inventory, gateway.metrics, item, give_up_after_s=600)


@pytest.mark.parametrize("round_", range(10))
async def test_concurrent_confirm_and_cancel_agree_with_inventory(gateway: GatewayActions, round_: int) -> None:
    del round_
    order = await gateway.preview(milk=2)
    answers = await asyncio.gather(outcome(gateway.confirm(order.order_id)), outcome(gateway.cancel(order.order_id)))
    await sweep_all(gateway)
    end = (await gateway.order(order.order_id)).status
    dispatched = gateway.fake_inventory.dispatches[str(order.order_id)]
    assert (end, dispatched) in {(Status.PROCESSING, 1), (Status.CANCELLED, 0)}, answers
    assert gateway.fake_inventory.stock["milk"] == (998 if end is Status.PROCESSING else 1_000)


@pytest.mark.parametrize("round_", range(10))
async def test_concurrent_confirm_and_expiry_agree_with_inventory(gateway: GatewayActions, round_: int) -> None:
    del round_
    order = await gateway.preview(milk=2)
    confirming = asyncio.ensure_future(outcome(gateway.confirm(order.order_id)))
    await gateway.db.run("UPDATE grocery_orders SET expires_at = now() WHERE status = 'PREVIEWED'")
    await asyncio.gather(confirming, outcome(expire(gateway.store, gateway.inventory, gateway.metrics, order.order_id)))
    await sweep_all(gateway)
    end = (await gateway.order(order.order_id)).status
    assert (end, gateway.fake_inventory.dispatches[str(order.order_id)]) in {
        (Status.PROCESSING, 1),
        (Status.EXPIRED, 0),
        (Status.PREVIEWED, 0),
    }


async def test_a_stale_answer_to_an_expiry_does_not_undo_a_later_cancel(gateway: GatewayActions) -> None:
    order = await gateway.preview()
    await gateway.inventory.assign_robots(order.order_id, order.lines)  # a confirm that died before its commit
    await transitions.promise_release(gateway.store, order.order_id, Status.EXPIRED, Cause.HOLD_EXPIRED, lease_s=60)
    asked = await gateway.order(order.order_id)
    assert (await release(gateway.store, gateway.inventory, gateway.metrics, asked)).status is Status.PROCESSING
    await transitions.promise_release(gateway.store, order.order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=60)
    late = await transitions.mark_unreleasable(
        gateway.store, order.order_id, asked.version, number=gateway.metrics.reserve_numbers()
    )
    assert (late, (await gateway.order(order.order_id)).releasing) == (None, True)
    await sweep_all(gateway)
    assert (await gateway.order(order.order_id)).status is Status.CANCELLED


async def run_scenario(gateway: GatewayActions, scenario: str) -> UUID:
    order = await gateway.preview(key="k", milk=2)
    if scenario in {"complete", "withdraw"}:
        await gateway.confirm(order.order_id)
    if scenario == "cancel":
        await gateway.cancel(order.order_id)
    if scenario == "withdraw":
        await gateway.cancel(order.order_id)
    if scenario == "complete":
        await gateway.complete(order.order_id)
    return order.order_id


ENDS: dict[str, Status] = {
    "preview": Status.PREVIEWED,
    "cancel": Status.CANCELLED,
    "withdraw": Status.CANCELLED,
    "complete": Status.COMPLETED,
}


async def points(gateway: GatewayActions, scenario: str) -> dict[str, int]:
    with arm() as calls:
        await run_scenario(gateway, scenario)
        return dict(calls)


@pytest.mark.parametrize("mode", BREAKS)
@pytest.mark.parametrize("scenario", ENDS)
async def test_a_fault_at_any_point_is_repaired_by_repeating_the_calls(
    gateway: GatewayActions, scenario: str, mode: Mode
) -> None:
    """Each I/O point of the scenario fails once; then the same calls are repeated until they succeed."""
    counted = await points(gateway, scenario)
    assert counted
    for point, calls in counted.items():
        for nth in range(1, calls + 1):
            await again(gateway, scenario, Fault(point, mode, nth))


async def confirm_for_sure(gateway: GatewayActions, order_id: UUID) -> None:
    """Confirm as a kiosk does: repeat it after a 202."""
    if not (await gateway.confirm(order_id))[1]:
        raise InDoubt("gateway", "202")


async def again(gateway: GatewayActions, scenario: str, fault: Fault) -> None:
    key = f"{scenario} {fault.point} {fault.mode} {fault.nth}"

    async def ask(verb: Callable[[], Awaitable[T]]) -> T | Exception:
        for _ in range(6):
            try:
                return await verb()
            except (Unavailable, InDoubt):
                continue
            except Refused as answer:
                return answer
        raise AssertionError(key)

    with arm(fault):
        made = await ask(lambda: gateway.preview(key=key, milk=2))
        assert isinstance(made, Order), key
        order_id = made.order_id
        if scenario in {"complete", "withdraw"}:
            await ask(lambda: confirm_for_sure(gateway, order_id))
        if scenario in {"cancel", "withdraw"}:
            await ask(lambda: gateway.cancel(order_id))
        if scenario == "complete":
            await ask(lambda: gateway.complete(order_id))
    await sweep_all(gateway)
    assert (await gateway.order(order_id)).status is ENDS[scenario], key
    assert gateway.fake_inventory.dispatches[str(order_id)] == (scenario == "complete"), key
