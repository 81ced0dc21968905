"""Whatever a peer replies, bytes or fields, a call ends in doubt or with a result that can be stored and shown."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.core.order import TERMINAL, Cause, Fact, Line, Status
from autogrocery.gateway.core.restock import Goods, Restock, RestockLine, RestockStatus
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import orders
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.client import Peer
from tests.contract.peers_under_test import basket
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers
from tests.harness.gateway_actions import GatewayActions, open_gateway_actions
from tests.proofs.battery.environment import sweep_past_patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from google.protobuf.message import Message

EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
ORDER = UUID(int=7)
MILK = basket(milk=2)
DAY = datetime(2026, 1, 1, tzinfo=UTC).date()
GOODS = Goods("milk", "Milk", "dairy", 2, DAY, DAY, 90)
RESTOCK = Restock(
    ORDER, 1, "s", "S", "m", RestockStatus.ANNOUNCED, 1, (RestockLine(GOODS),), datetime.now(UTC), bytes(32)
)
LINES = [Line("milk", "Milk", 2, 2, 129)]
TEXTS = (
    st.sampled_from([str(ORDER), "milk", "USD", "dairy", "Milk", "", "\0", "a\0b", "x" * 300, "ü", "\x1b"]) | st.text()
)
FEW = [0, 1, 2, 3, 129, 258, -1, (1 << 31) - 1, -(1 << 31)]
MANY = [*FEW, (1 << 63) - 1, -(1 << 63), 10**12, 2 * 10**12]


def values_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Return values for one field, many of them likely ones, any of them possible."""
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return TEXTS
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_ENUM:
            return st.integers(-1, 9) | st.just(1 << 30)
        case FieldDescriptor.TYPE_MESSAGE:
            return fields_of(field.message_type)
        case FieldDescriptor.TYPE_INT64:
            return st.sampled_from(MANY) | st.integers(-(1 << 63), (1 << 63) - 1)
        case _:
            return st.sampled_from(FEW) | st.integers(-(1 << 31), (1 << 31) - 1)


def fields_of(descriptor: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            field.name: st.lists(values_of(field), max_size=3) if field.is_repeated else values_of(field)
            for field in descriptor.fields
        },
    )


def messages(kind: type[Message]) -> st.SearchStrategy[bytes]:
    """Return encoded replies, most of them about the order that was asked about."""
    names = {field.name for field in kind.DESCRIPTOR.fields}
    right = {"order_id": str(ORDER)} if "order_id" in names else {}
    return st.tuples(fields_of(kind.DESCRIPTOR), st.sampled_from([right, right, right, {}])).map(
        lambda drawn: kind(**drawn[0] | drawn[1]).SerializeToString()
    )


class Client:
    """The gateway's two peers, each with a breaker that is closed, and the fakes that they call."""

    def __init__(self, inventory: Inventory, pricing: Pricing, shelf: FakeInventory, prices: FakePricing) -> None:
        self.inventory, self.pricing, self.shelf, self.prices = inventory, pricing, shelf, prices


async def reserve(client: Client) -> None:
    hold = await client.inventory.reserve(ORDER, MILK, hold_s=60, allow_partial=True)
    if hold.refusal is None:
        assert hold.granted in ({"milk": 1}, {"milk": 2})
    assert all((short.sku, short.requested) == ("milk", 2) and 0 <= short.available < 2 for short in hold.shortages)


async def assign(client: Client) -> None:
    robots = await client.inventory.assign_robots(ORDER, LINES)
    for robot in robots or ():
        assert is_storable(robot.robot_id, 100)
        assert is_storable(robot.assignment_id, 100)
        assert robot.robot_class in {"bread", "dairy", "meat", "produce", "party"}


async def release(client: Client) -> None:
    assert await client.inventory.release(ORDER, Status.CANCELLED, Cause.CANCELLED) in {True, False}


async def get_order(client: Client) -> None:
    report = await client.inventory.get_order(ORDER)
    assert all(is_storable(sku, 64) and 0 <= count <= 10**9 for sku, count in report.picked.items())


async def check_availability(client: Client) -> None:
    levels = await client.inventory.check_availability(["milk"])
    assert levels.keys() <= {"milk"}
    assert all(level >= 0 for level in levels.values())


async def restock_items(client: Client) -> None:
    refusal = await client.inventory.restock_items(RESTOCK)
    assert refusal is None or is_storable(refusal, 200)


async def get_restock(client: Client) -> None:
    report = await client.inventory.get_restock(ORDER)
    assert all(0 <= damaged <= received <= 10**9 for received, damaged in report.counts.values())


async def quote(client: Client) -> None:
    found = await client.pricing.quote(ORDER, MILK)
    assert found.currency == "USD"
    assert found.prices.keys() ^ set(found.unknown_skus) == {"milk"}
    assert all(0 <= price.unit_price_cents <= 10**12 for price in found.prices.values())


async def list_products(client: Client) -> None:
    page = await client.pricing.list_products("", "", 2)
    assert len(page.products) == len({product.sku for product in page.products}) <= 2
    assert all(is_storable(product.sku, 64) and 0 <= product.unit_price_cents <= 10**12 for product in page.products)
    assert len(page.next_cursor) <= 200


async def update_stock_metrics(client: Client) -> None:
    await client.pricing.update_stock_metrics([GOODS])


def is_storable(text: str, most: int) -> bool:
    return 0 < len(text) <= most and not any(ord(character) < 32 for character in text)


CALLS: Final[dict[str, tuple[type[Message], Callable[[Client], Awaitable[None]]]]] = {
    "ReserveItems": (inv.ReserveItemsResponse, reserve),
    "AssignRobots": (inv.RobotResponse, assign),
    "ReleaseItems": (inv.ReleaseItemsResponse, release),
    "GetOrder": (inv.GetOrderResponse, get_order),
    "CheckAvailability": (inv.CheckAvailabilityResponse, check_availability),
    "RestockItems": (inv.RestockResponse, restock_items),
    "GetRestock": (inv.GetRestockResponse, get_restock),
    "Quote": (pri.QuoteResponse, quote),
    "ListProducts": (pri.ListProductsResponse, list_products),
    "UpdateStockMetrics": (pri.UpdateStockMetricsResponse, update_stock_metrics),
}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def client(loop: asyncio.Runner) -> Iterator[Client]:
    stack = AsyncExitStack()

    async def connect() -> Client:
        shelf, prices, target = await stack.enter_async_context(serve_peers())
        channel = await stack.enter_async_context(open_channel(target))
        return Client(Inventory(channel), Pricing(channel), shelf, prices)

    yield loop.run(connect())
    loop.run(stack.aclose())


@pytest.fixture(scope="module")
def actions(loop: asyncio.Runner, module_dsn: str) -> Iterator[GatewayActions]:
    stack = AsyncExitStack()

    async def connect() -> GatewayActions:
        db = await stack.enter_async_context(open_db(module_dsn, application="tests"))
        return await stack.enter_async_context(open_gateway_actions(db))

    yield loop.run(connect())
    loop.run(stack.aclose())


@pytest.mark.parametrize("call", CALLS)
def test_an_arbitrary_reply_is_in_doubt_or_a_clean_result(loop: asyncio.Runner, client: Client, call: str) -> None:
    kind, ask = CALLS[call]
    fake: Any = client.shelf if call in client.shelf.__class__.__dict__ else client.prices

    @EXAMPLES
    @given(st.binary(max_size=64) | messages(kind))
    def replies(reply: bytes) -> None:
        fake.raw_reply = {call: reply}
        client.inventory.peer, client.pricing.peer = Peer("inventory"), Peer("pricing")
        with suppress(InDoubt):
            loop.run(_awaited(ask(client)))

    replies()
    fake.raw_reply = {}


@pytest.mark.parametrize("call", ["ReserveItems", "AssignRobots", "ReleaseItems", "GetOrder", "Quote"])
def test_an_order_ends_in_one_truth_whatever_one_call_replies(
    loop: asyncio.Runner, actions: GatewayActions, call: str
) -> None:
    kind, _ = CALLS[call]

    @settings(EXAMPLES, max_examples=40)
    @given(fields_of(kind.DESCRIPTOR))
    def replies(changes: dict[str, Any]) -> None:
        loop.run(life(actions, call, kind(**{name: value for name, value in changes.items() if name != "order_id"})))

    replies()


async def life(gateway: GatewayActions, call: str, reply: Any) -> None:
    """Preview, confirm, cancel, reconcile and report an order while a call replies that; then without."""
    gateway.inventory.peer, gateway.pricing.peer = Peer("inventory"), Peer("pricing")

    def rewrite(honest: Any) -> Any:
        reply.order_id = honest.order_id
        return reply

    if call == "Quote":
        gateway.fake_pricing.rewrite_reply = rewrite
    else:
        gateway.fake_inventory.rewrite_reply = {call: rewrite}
    order = await _outcome(gateway.preview(milk=2))
    for _ in range(2):
        if isinstance(order, Exception):
            gateway.fake_inventory.clear_faults()
            gateway.fake_pricing.clear_faults()
            order = await _outcome(gateway.preview(milk=2))
    order_id = order.order_id
    await _outcome(gateway.confirm(order_id))
    await _outcome(reconcile(gateway.store, gateway.inventory, gateway.metrics, order_id))
    await _outcome(gateway.cancel(order_id))
    await _outcome(gateway.complete(order_id))
    gateway.fake_inventory.clear_faults()
    gateway.fake_pricing.clear_faults()
    found = await orders.get(gateway.db, order_id)
    assert found is not None
    if found.intent is not None:
        await sweep_past_patience(gateway, order_id)
        found = await gateway.order(order_id)
    if found.status not in TERMINAL:
        assert (await gateway.cancel(order_id))[0].status is Status.CANCELLED or await gateway.complete(
            order_id, Fact.PICKED
        )
    assert (await gateway.order(order_id)).status in TERMINAL


async def _outcome(verb: Awaitable[Any]) -> Any:
    try:
        return await verb
    except (Refused, Unavailable, InDoubt) as error:
        return error


async def _awaited(verb: Awaitable[None]) -> None:
    await verb
