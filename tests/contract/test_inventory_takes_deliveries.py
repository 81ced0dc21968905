"""What the gateway counts on when it hands a delivery over: of the reference and of the fake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.contract.stage import AISLES, KINDS, Subject, open_inventory
from tests.harness.running_inventory import new

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

State = pb.GetRestockResponse


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def dsn(kind: str, dsn_of: Callable[[str], str]) -> str:
    """A database for those who need one."""
    return dsn_of("inventory") if kind == "reference" else ""


@pytest.fixture
async def subject(kind: str, dsn: str) -> AsyncIterator[Subject]:
    async with open_inventory(kind, "unary", dsn) as opened:
        yield opened


def delivery(restock_id: str, **quantities: int) -> pb.RestockRequest:
    items = [
        pb.RestockItem(sku=sku, name=sku.title(), aisle_type=AISLES[sku], quantity=quantity, unit_cost_cents=90)
        for sku, quantity in quantities.items()
    ]
    return pb.RestockRequest(order_id=restock_id, supplier_id="farm", items=items)


async def told(subject: Subject, restock_id: str) -> tuple[int, dict[str, tuple[int, int]]]:
    """A delivery's state, and what has come of it; lines of which nothing has come yet may be left out."""
    answer = await subject.stub.GetRestock(pb.GetRestockRequest(order_id=restock_id))
    return answer.state, {item.sku: (item.received, item.damaged) for item in answer.items if item.received}


async def test_a_delivery_that_is_repeated_is_taken_once(subject: Subject) -> None:
    request = delivery(new(), milk=7)
    answers = await asyncio.gather(*(subject.stub.RestockItems(request) for _ in range(5)))
    assert all((answer.success, answer.order_id) == (True, request.order_id) for answer in answers)
    assert await told(subject, request.order_id) == (State.RECEIVING, {})


async def test_a_delivery_that_has_ended_may_be_repeated(subject: Subject) -> None:
    request = delivery(new(), milk=7)
    await subject.stub.RestockItems(request)
    await subject.put_away(request.order_id, done=True, milk=(7, 0))
    assert (await subject.stub.RestockItems(request)).success
    assert await told(subject, request.order_id) == (State.RECEIVED, {"milk": (7, 0)})


@pytest.mark.parametrize("other", [{"milk": 8}, {"milk": 7, "apple": 1}, {"apple": 7}])
async def test_another_delivery_under_its_id_is_refused(subject: Subject, other: dict[str, int]) -> None:
    restock_id = new()
    assert (await subject.stub.RestockItems(delivery(restock_id, milk=7))).success
    answer = await subject.stub.RestockItems(delivery(restock_id, **other))
    assert not answer.success
    assert answer.message
    assert (await subject.stub.RestockItems(delivery(restock_id, milk=7))).success


async def test_a_delivery_never_heard_of_is_unknown(subject: Subject) -> None:
    assert await told(subject, new()) == (State.UNKNOWN, {})


async def test_a_delivery_is_what_robots_have_put_away_of_it(subject: Subject) -> None:
    request = delivery(new(), milk=7, apple=2)
    await subject.stub.RestockItems(request)
    await subject.put_away(request.order_id, done=False, milk=(4, 1))
    assert await told(subject, request.order_id) == (State.RECEIVING, {"milk": (4, 1)})
    await subject.put_away(request.order_id, done=True, milk=(9, 1), apple=(1, 0))
    assert await told(subject, request.order_id) == (State.RECEIVED, {"milk": (9, 1), "apple": (1, 0)})
