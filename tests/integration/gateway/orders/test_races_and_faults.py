"""Two at once, and the connection that breaks at the worst moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.release import release
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Cause, Order, Status
from autogrocery.gateway.store import due, moves
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.process.faults import Fault, Mode, arm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.integration.gateway.orders.conftest import House

T = TypeVar("T")
BREAKS = (Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR, Mode.DUPLICATE)


async def told(verb: Awaitable[object]) -> object:
    try:
        return await verb
    except (Refused, Unavailable, InDoubt) as answer:
        return answer


async def heal(house: House) -> None:
    """What the loops would do, until nothing is owed."""
    for _ in range(3):
        await house.db.run("UPDATE grocery_orders SET due_at = now() WHERE finished_at IS NULL")
        for item in await due.claim_owed(house.db):
            await sweep(house.db, house.inventory, house.metrics, item, patience_s=600)


@pytest.mark.parametrize("round_", range(10))
async def test_confirm_against_cancel_ends_in_one_truth(house: House, round_: int) -> None:
    del round_
    order = await house.preview(milk=2)
    answers = await asyncio.gather(told(house.confirm(order.order_id)), told(house.cancel(order.order_id)))
    await heal(house)
    end = (await house.order(order.order_id)).status
    dispatched = house.shelf.dispatches[str(order.order_id)]
    assert (end, dispatched) in {(Status.PROCESSING, 1), (Status.CANCELLED, 0)}, answers
    assert house.shelf.stock["milk"] == (998 if end is Status.PROCESSING else 1_000)


@pytest.mark.parametrize("round_", range(10))
async def test_confirm_against_expiry_ends_in_one_truth(house: House, round_: int) -> None:
    del round_
    order = await house.preview(milk=2)
    confirming = asyncio.ensure_future(told(house.confirm(order.order_id)))
    await house.db.run("UPDATE grocery_orders SET expires_at = now() WHERE status = 'PREVIEWED'")
    await asyncio.gather(confirming, told(expire(house.db, house.inventory, house.metrics, order.order_id)))
    await heal(house)
    end = (await house.order(order.order_id)).status
    assert (end, house.shelf.dispatches[str(order.order_id)]) in {
        (Status.PROCESSING, 1),
        (Status.EXPIRED, 0),
        (Status.PREVIEWED, 0),
    }


async def test_a_stale_answer_to_an_expiry_does_not_undo_a_later_cancel(house: House) -> None:
    order = await house.preview()
    await house.inventory.assign_robots(order.order_id, order.lines)  # a confirm of which nobody wrote anything down
    await moves.promise_release(house.db, order.order_id, Status.EXPIRED, Cause.HOLD_EXPIRED, lease_s=60)
    asked = await house.order(order.order_id)
    assert (await release(house.db, house.inventory, house.metrics, asked)).status is Status.PROCESSING
    await moves.promise_release(house.db, order.order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=60)
    late = await moves.mark_unreleasable(house.db, order.order_id, asked.version, number=house.metrics.take())
    assert (late, (await house.order(order.order_id)).releasing) == (None, True)
    await heal(house)
    assert (await house.order(order.order_id)).status is Status.CANCELLED


async def walk(house: House, scenario: str) -> UUID:
    order = await house.preview(key="k", milk=2)
    if scenario in {"complete", "withdraw"}:
        await house.confirm(order.order_id)
    if scenario == "cancel":
        await house.cancel(order.order_id)
    if scenario == "withdraw":
        await house.cancel(order.order_id)
    if scenario == "complete":
        await house.complete(order.order_id)
    return order.order_id


ENDS: dict[str, Status] = {
    "preview": Status.PREVIEWED,
    "cancel": Status.CANCELLED,
    "withdraw": Status.CANCELLED,
    "complete": Status.COMPLETED,
}


async def points(house: House, scenario: str) -> dict[str, int]:
    with arm() as calls:
        await walk(house, scenario)
        return dict(calls)


@pytest.mark.parametrize("mode", BREAKS)
@pytest.mark.parametrize("scenario", ENDS)
async def test_a_break_at_any_point_is_healed_by_asking_again(house: House, scenario: str, mode: Mode) -> None:
    """Every I/O point of the scenario, one after the other: broken once, then the same calls again until they are through."""
    counted = await points(house, scenario)
    assert counted
    for point, calls in counted.items():
        for nth in range(1, calls + 1):
            await again(house, scenario, Fault(point, mode, nth))


async def confirm_for_sure(house: House, order_id: UUID) -> None:
    """Confirm as a kiosk does: a 202 is asked again."""
    if not (await house.confirm(order_id))[1]:
        raise InDoubt("gateway", "202")


async def again(house: House, scenario: str, fault: Fault) -> None:
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
        made = await ask(lambda: house.preview(key=key, milk=2))
        assert isinstance(made, Order), key
        order_id = made.order_id
        if scenario in {"complete", "withdraw"}:
            await ask(lambda: confirm_for_sure(house, order_id))
        if scenario in {"cancel", "withdraw"}:
            await ask(lambda: house.cancel(order_id))
        if scenario == "complete":
            await ask(lambda: house.complete(order_id))
    await heal(house)
    assert (await house.order(order_id)).status is ENDS[scenario], key
    assert house.shelf.dispatches[str(order_id)] == (scenario == "complete"), key
