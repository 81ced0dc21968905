"""The promises about restock orders, of the reference inventory and of the fake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.contract.peers_under_test import AISLES, KINDS, Subject, open_inventory
from tests.harness.running_inventory import new

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

State = pb.GetRestockResponse


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def dsn(kind: str, dsn_of: Callable[[str], str]) -> str:
    """A database for the reference; the fake needs none."""
    return dsn_of("inventory") if kind == "reference" else ""


@pytest.fixture
async def subject(kind: str, dsn: str) -> AsyncIterator[Subject]:
    async with open_inventory(kind, dsn) as opened:
        yield opened


def restock_request(restock_id: str, **quantities: int) -> pb.RestockRequest:
    items = [
        pb.RestockItem(sku=sku, name=sku.title(), aisle_type=AISLES[sku], quantity=quantity, unit_cost_cents=90)
        for sku, quantity in quantities.items()
    ]
    return pb.RestockRequest(order_id=restock_id, supplier_id="farm", items=items)


async def get_restock(subject: Subject, restock_id: str) -> tuple[int, dict[str, tuple[int, int]]]:
    """Return a restock order's state and totals; peers may omit lines without received units, so they are left out."""
    answer = await subject.stub.GetRestock(pb.GetRestockRequest(order_id=restock_id))
    return answer.state, {item.sku: (item.received, item.damaged) for item in answer.items if item.received}


async def test_repeated_open_restock_is_entered_once(subject: Subject) -> None:
    request = restock_request(new(), milk=7)
    answers = await asyncio.gather(*(subject.stub.RestockItems(request) for _ in range(5)))
    assert all((answer.success, answer.order_id) == (True, request.order_id) for answer in answers)
    assert await get_restock(subject, request.order_id) == (State.RECEIVING, {})


async def test_repeated_closed_restock_succeeds(subject: Subject) -> None:
    request = restock_request(new(), milk=7)
    await subject.stub.RestockItems(request)
    await subject.put_away(request.order_id, done=True, milk=(7, 0))
    assert (await subject.stub.RestockItems(request)).success
    assert await get_restock(subject, request.order_id) == (State.RECEIVED, {"milk": (7, 0)})


@pytest.mark.parametrize("other", [{"milk": 8}, {"milk": 7, "apple": 1}, {"apple": 7}])
async def test_other_restock_under_the_same_id_is_refused(subject: Subject, other: dict[str, int]) -> None:
    restock_id = new()
    assert (await subject.stub.RestockItems(restock_request(restock_id, milk=7))).success
    answer = await subject.stub.RestockItems(restock_request(restock_id, **other))
    assert not answer.success
    assert answer.message
    assert (await subject.stub.RestockItems(restock_request(restock_id, milk=7))).success


async def test_get_restock_of_unknown_id_is_unknown(subject: Subject) -> None:
    assert await get_restock(subject, new()) == (State.UNKNOWN, {})


async def test_get_restock_returns_totals_of_putaways(subject: Subject) -> None:
    request = restock_request(new(), milk=7, apple=2)
    await subject.stub.RestockItems(request)
    await subject.put_away(request.order_id, done=False, milk=(4, 1))
    assert await get_restock(subject, request.order_id) == (State.RECEIVING, {"milk": (4, 1)})
    await subject.put_away(request.order_id, done=True, milk=(9, 1), apple=(1, 0))
    assert await get_restock(subject, request.order_id) == (State.RECEIVED, {"milk": (9, 1), "apple": (1, 0)})
