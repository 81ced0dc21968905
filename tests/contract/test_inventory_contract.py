"""K1 to K5 (docs/PROTOCOL.md#what-a-peer-promises) of the reference inventory and of the fake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.core.order import Status
from autogrocery.gateway.peers.inventory import OrderState, Refusal
from autogrocery.kit.ids import uuid7
from tests.contract.peers_under_test import ON_HAND, Subject, basket, open_inventory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Hold

MILK = basket(milk=2)


@pytest.fixture
def dsn(kind: str, dsn_of: Callable[[str], str]) -> str:
    """A database for the reference; the fake needs none."""
    return dsn_of("inventory") if kind == "reference" else ""


@pytest.fixture
async def subject(kind: str, dsn: str) -> AsyncIterator[Subject]:
    async with open_inventory(kind, dsn) as opened:
        yield opened


async def reserve(subject: Subject, order_id: UUID, *, partial: bool = False, **quantities: int) -> Hold:
    wants = basket(**quantities) if quantities else MILK
    return await subject.inventory.reserve(order_id, wants, hold_s=60, allow_partial=partial)


async def test_repeated_reserve_holds_once(subject: Subject) -> None:
    order_id = uuid7()
    answers = [await reserve(subject, order_id) for _ in range(3)]
    assert [answer.granted for answer in answers] == [{"milk": 2}] * 3
    assert await subject.free() == ON_HAND - 2


async def test_twenty_concurrent_reserves_each_hold_their_lines(subject: Subject) -> None:
    answers = await asyncio.gather(*(reserve(subject, uuid7()) for _ in range(20)))
    assert all(answer.granted == {"milk": 2} for answer in answers)
    assert await subject.free() == ON_HAND - 40


async def test_reserve_with_other_items_returns_items_differ(subject: Subject) -> None:
    order_id = uuid7()
    await reserve(subject, order_id)
    assert (await reserve(subject, order_id, milk=3)).refusal is Refusal.ITEMS_DIFFER
    assert await subject.free() == ON_HAND - 2


async def test_shortage_returns_available_units_and_is_not_remembered(subject: Subject) -> None:
    order_id, other = uuid7(), uuid7()
    await reserve(subject, other, milk=ON_HAND - 1)
    short = await reserve(subject, order_id)
    assert short.refusal is Refusal.SHORTAGE
    assert [(one.sku, one.requested, one.available) for one in short.shortages] == [("milk", 2, 1)]
    assert await subject.inventory.release(other, Status.CANCELLED, None)
    assert (await reserve(subject, order_id)).granted == {"milk": 2}


async def test_partial_reserve_holds_available_units(subject: Subject) -> None:
    await reserve(subject, uuid7(), milk=ON_HAND - 1)
    assert (await reserve(subject, uuid7(), partial=True, milk=2, apple=1)).granted == {"milk": 1, "apple": 1}


async def test_repeated_partial_reserve_holds_the_same_units(subject: Subject) -> None:
    await reserve(subject, uuid7(), milk=ON_HAND - 1)
    order_id = uuid7()
    answers = [await reserve(subject, order_id, partial=True, milk=2, apple=1) for _ in range(2)]
    assert [answer.granted for answer in answers] == [{"milk": 1, "apple": 1}] * 2
    assert (await reserve(subject, order_id, partial=True, milk=1, apple=1)).refusal is Refusal.ITEMS_DIFFER
    assert (await reserve(subject, order_id, milk=2, apple=1)).refusal is Refusal.ITEMS_DIFFER
    assert await subject.inventory.assign_robots(order_id, basket(milk=1, apple=1))
    assert (await reserve(subject, order_id, partial=True, milk=2, apple=1)).granted == {"milk": 1, "apple": 1}


async def test_an_unknown_sku_is_refused(subject: Subject) -> None:
    assert (await reserve(subject, uuid7(), unicorn=1)).refusal is Refusal.UNKNOWN_SKU


async def test_repeated_assign_returns_the_same_robots(subject: Subject) -> None:
    order_id = uuid7()
    await reserve(subject, order_id)
    first, second = [await subject.inventory.assign_robots(order_id, MILK) for _ in range(2)]
    assert first is not None
    assert first == second
    assert await subject.free() == ON_HAND - 2


async def test_an_assign_without_a_hold_takes_the_stock(subject: Subject) -> None:
    order_id = uuid7()
    assert await subject.inventory.assign_robots(order_id, MILK) is not None
    assert (await subject.inventory.get_order(order_id)).state is OrderState.ASSIGNED


async def test_assign_with_other_items_than_held_takes_them_or_is_refused(subject: Subject) -> None:
    order_id = uuid7()
    await reserve(subject, order_id, milk=5)
    assigned = await subject.inventory.assign_robots(order_id, basket(milk=3))
    assert await subject.free() == (ON_HAND - 5 if assigned is None else ON_HAND - 3)


async def test_an_assign_never_oversells(subject: Subject) -> None:
    order_id = uuid7()
    await reserve(subject, uuid7(), milk=ON_HAND - 1)
    assert await subject.inventory.assign_robots(order_id, MILK) is None
    assert await subject.free() == 1


async def test_release_refuses_later_reserve_and_assign(subject: Subject) -> None:
    order_id, unseen = uuid7(), uuid7()
    await reserve(subject, order_id)
    for one in (order_id, order_id, unseen):
        assert await subject.inventory.release(one, Status.CANCELLED, None)
    assert await subject.free() == ON_HAND
    for one in (order_id, unseen):
        assert (await reserve(subject, one)).refusal is Refusal.RELEASED
        assert await subject.inventory.assign_robots(one, MILK) is None
        assert (await subject.inventory.get_order(one)).state is OrderState.RELEASED


async def test_cancel_withdraws_robots_before_any_start(subject: Subject) -> None:
    order_id = uuid7()
    assert await subject.inventory.assign_robots(order_id, MILK) is not None
    assert await subject.inventory.release(order_id, Status.CANCELLED, None)
    assert await subject.free() == ON_HAND
    assert (await subject.inventory.get_order(order_id)).state is OrderState.RELEASED


async def test_release_after_a_start_is_refused(subject: Subject) -> None:
    order_id = uuid7()
    assert await subject.inventory.assign_robots(order_id, MILK) is not None
    await subject.start(order_id)
    for _ in range(2):
        assert not await subject.inventory.release(order_id, Status.CANCELLED, None)
    assert (await subject.inventory.get_order(order_id)).state is OrderState.ASSIGNED


@pytest.mark.parametrize("release_as", [Status.EXPIRED, Status.FAILED])
async def test_only_a_cancel_withdraws_robots(subject: Subject, release_as: Status) -> None:
    order_id = uuid7()
    assert await subject.inventory.assign_robots(order_id, MILK) is not None
    assert not await subject.inventory.release(order_id, release_as, None)
    assert (await subject.inventory.get_order(order_id)).state is OrderState.ASSIGNED


async def test_get_order_returns_unknown_held_assigned(subject: Subject) -> None:
    order_id = uuid7()
    assert (await subject.inventory.get_order(order_id)).state is OrderState.UNKNOWN
    await reserve(subject, order_id)
    assert (await subject.inventory.get_order(order_id)).state is OrderState.HELD
    await subject.inventory.assign_robots(order_id, MILK)
    assert (await subject.inventory.get_order(order_id)).state is OrderState.ASSIGNED


async def test_of_ten_concurrent_reserves_of_the_last_units_one_is_granted(subject: Subject) -> None:
    await reserve(subject, uuid7(), milk=ON_HAND - 2)
    answers = await asyncio.gather(*(reserve(subject, uuid7()) for _ in range(10)))
    assert sum(answer.granted == {"milk": 2} for answer in answers) == 1
    assert await subject.free() == 0


async def test_availability_omits_unknown_skus(subject: Subject) -> None:
    assert await subject.inventory.check_availability(["milk", "unicorn"]) == {"milk": ON_HAND}
