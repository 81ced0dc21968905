"""A reply that contradicts itself, the request or the contract is in doubt, counted, and settled in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Intent, Status
from autogrocery.gateway.store import due
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.ids import uuid7
from autogrocery.kit.rpc.client import REJECTED_REPLIES
from tests.contract.peers_under_test import basket

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from tests.integration.gateway.orders.conftest import GatewayActions

Nonsense = dict[str, Any]
LONG, NUL, BELL = "x" * 101, "a\0b", "a\x07b"


def robot(**changes: str) -> list[inv.Assignment]:
    share = {"assignment_id": "a-1", "robot_id": "r-1", "robot_class": "dairy"} | changes
    return [inv.Assignment(**share)]  # type: ignore[arg-type]


def shares(*items: inv.Item) -> list[inv.Assignment]:
    return [
        inv.Assignment(assignment_id=f"a-{n}", robot_id="r-1", robot_class="dairy", items=[one])
        for n, one in enumerate(items)
    ]


def line(sku: str = "milk", **changes: Any) -> pri.QuoteLine:
    return pri.QuoteLine(
        **({"sku": sku, "name": "Milk", "quantity": 2, "unit_price_cents": 129, "line_total_cents": 258} | changes)
    )


def product(sku: str = "milk", **changes: Any) -> pri.Product:
    return pri.Product(
        **({"sku": sku, "name": "Milk", "aisle_type": "dairy", "unit_price_cents": 129, "currency": "USD"} | changes)
    )


QUOTES: Final[dict[str, Nonsense]] = {
    "another order": {"order_id": str(uuid7())},
    "total is not the sum": {"total_cents": 257},
    "no total": {"total_cents": 0},
    "line is not price times quantity": {"lines": [line(line_total_cents=129)], "total_cents": 129},
    "no line total": {"lines": [line(line_total_cents=0)], "total_cents": 0},
    "another quantity": {"lines": [line(quantity=1, line_total_cents=129)], "total_cents": 129},
    "negative quantity": {"lines": [line(quantity=-2, line_total_cents=-258)], "total_cents": -258},
    "another product": {"lines": [line(), line("bread")], "total_cents": 516},
    "the same product twice": {"lines": [line(), line()], "total_cents": 516},
    "nothing": {"lines": [], "total_cents": 0},
    "no currency": {"currency": ""},
    "another currency": {"currency": "EUR"},
    "what is no currency": {"currency": "US$"},
    "a negative price": {"lines": [line(unit_price_cents=-1, line_total_cents=-2)], "total_cents": -2},
    "an enormous price": {"lines": [line(unit_price_cents=1 << 61, line_total_cents=1 << 62)], "total_cents": 1 << 62},
    "a NUL in a name": {"lines": [line(name=NUL)]},
    "a line break in a name": {"lines": [line(name="Milk\nTotal 0")]},
    "an enormous name": {"lines": [line(name="x" * 201)]},
    "known and unknown": {"unknown_skus": ["milk"]},
    "unknown and not asked for": {"unknown_skus": ["caviar"]},
    "unknown twice": {"lines": [], "total_cents": 0, "unknown_skus": ["milk", "milk"]},
}
HOLDS: Final[dict[str, Nonsense]] = {
    "another order": {"order_id": ""},
    "less than all": {"items": [inv.Item(sku="milk", quantity=1)]},
    "more than asked for": {"items": [inv.Item(sku="milk", quantity=3)]},
    "negative": {"items": [inv.Item(sku="milk", quantity=-2)]},
    "twice": {"items": [inv.Item(sku="milk", quantity=2)] * 2},
    "another product": {"items": [inv.Item(sku="milk", quantity=2), inv.Item(sku=NUL, quantity=2)]},
    "nothing": {"items": []},
    "held and refused": {"refusal": inv.SHORTAGE},
    "refused for no reason": {"success": False, "items": []},
    "refused for an unknown reason": {"success": False, "items": [], "refusal": 99},
    "refused and held": {"success": False, "refusal": inv.SHORTAGE},
    "a shortage of nothing asked for": {
        "success": False,
        "items": [],
        "refusal": inv.SHORTAGE,
        "shortages": [inv.Shortage(sku=NUL, requested=1, available=0)],
    },
    "a shortage of what there is": {
        "success": False,
        "items": [],
        "refusal": inv.SHORTAGE,
        "shortages": [inv.Shortage(sku="milk", requested=2, available=2)],
    },
    "an end in the year 292 billion": {"expires_at": Timestamp(seconds=(1 << 63) - 1)},
    "an end before the year 1": {"expires_at": Timestamp(seconds=-(1 << 62))},
    "an end with negative nanoseconds": {"expires_at": Timestamp(seconds=1, nanos=-1)},
    "a negative shelf": {
        "success": False,
        "items": [],
        "refusal": inv.SHORTAGE,
        "shortages": [inv.Shortage(sku="milk", requested=2, available=-1)],
    },
}
ASSIGNMENTS: Final[dict[str, Nonsense]] = {
    "another order": {"order_id": NUL},
    "a NUL in a robot": {"assignments": robot(robot_id=NUL)},
    "a bell in a robot": {"assignments": robot(robot_id=BELL)},
    "no robot": {"assignments": robot(robot_id="")},
    "an enormous robot": {"assignments": robot(robot_id=LONG)},
    "an unknown class": {"assignments": robot(robot_class="caviar")},
    "no class": {"assignments": robot(robot_class="")},
    "no assignment's id": {"assignments": robot(assignment_id="")},
    "a NUL in an assignment": {"assignments": robot(assignment_id=NUL)},
    "the same assignment twice": {"assignments": robot() * 2},
    "thousands of robots": {"assignments": [share for n in range(5_000) for share in robot(assignment_id=f"a-{n}")]},
    "refused with robots": {"success": False},
    "items of another order": {"assignments": shares(inv.Item(sku="caviar", quantity=1))},
    "more items than ordered": {
        "assignments": shares(inv.Item(sku="milk", quantity=1), inv.Item(sku="milk", quantity=2))
    },
    "items in a negative number": {"assignments": shares(inv.Item(sku="milk", quantity=-1))},
    "items in no number": {"assignments": shares(inv.Item(sku="milk"))},
}
RELEASES: Final[dict[str, Nonsense]] = {
    "another order": {"order_id": str(uuid7())},
    "no result": {"result": 0},
    "an unknown result": {"result": 99},
}
STATES: Final[dict[str, Nonsense]] = {
    "another order": {"order_id": ""},
    "an unknown state": {"state": 99},
    "a negative count": {"items": [inv.PickedItem(sku="milk", picked=-1)]},
    "an enormous count": {"items": [inv.PickedItem(sku="milk", picked=(1 << 31) - 1)]},
    "the same product twice": {"items": [inv.PickedItem(sku="milk", picked=1)] * 2},
    "no product": {"items": [inv.PickedItem(picked=1)]},
    "a NUL in a product": {"items": [inv.PickedItem(sku=NUL, picked=1)]},
    "thousands of products": {"items": [inv.PickedItem(sku=f"s-{n}", picked=0) for n in range(5_000)]},
}
PAGES: Final[dict[str, Nonsense]] = {
    "no currency": {"products": [product(currency="")]},
    "another currency": {"products": [product(currency="EUR")]},
    "a negative price": {"products": [product(unit_price_cents=-1)]},
    "an enormous price": {"products": [product(unit_price_cents=1 << 62)]},
    "the same product twice": {"products": [product(), product()]},
    "no product": {"products": [product("")]},
    "a NUL in a product": {"products": [product(NUL)]},
    "a NUL in a name": {"products": [product(name=NUL)]},
    "an unknown aisle": {"products": [product(aisle_type="caviar")]},
    "more than asked for": {"products": [product(f"s-{n}") for n in range(3)]},
    "a cursor that goes nowhere": {"next_cursor": "apple"},
    "an enormous cursor": {"next_cursor": "x" * 201},
}
LEVELS: Final[dict[str, Nonsense]] = {
    "a negative level": {"items": [inv.StockLevel(sku="milk", available=-1)]},
    "another product": {"items": [inv.StockLevel(sku="bread", available=1)]},
    "the same product twice": {"items": [inv.StockLevel(sku="milk", available=1)] * 2},
}


def rewriting(changes: Nonsense) -> Callable[[Any], Any]:
    """Return a function that changes some fields of a reply."""

    def rewrite(reply: Any) -> Any:
        for field, value in changes.items():
            if isinstance(value, list):
                reply.ClearField(field)
                getattr(reply, field).extend(value)
            elif isinstance(value, Timestamp):
                getattr(reply, field).CopyFrom(value)
            else:
                setattr(reply, field, value)
        return reply

    return rewrite


def counted() -> float:
    """Return how many replies were rejected so far, of all peers."""
    return sum(sample.value for sample in REJECTED_REPLIES.collect()[0].samples if sample.name.endswith("_total"))


@pytest.mark.parametrize("what", QUOTES)
async def test_a_quote_that_contradicts_itself_or_the_question_is_in_doubt(gateway: GatewayActions, what: str) -> None:
    gateway.fake_pricing.rewrite_reply = rewriting(QUOTES[what])
    before = counted()
    with pytest.raises(Unavailable) as refused:
        await gateway.preview(key="k")
    assert (refused.value.code, counted() - before) == ("pricing_unavailable", 1)
    gateway.fake_pricing.clear_faults()
    assert (await gateway.preview(key="k")).total_cents == 258


@pytest.mark.parametrize("what", HOLDS)
async def test_a_hold_that_does_not_answer_the_request_is_in_doubt(gateway: GatewayActions, what: str) -> None:
    gateway.fake_inventory.rewrite_reply["ReserveItems"] = rewriting(HOLDS[what])
    before = counted()
    with pytest.raises(Unavailable) as refused:
        await gateway.preview(key="k")
    assert (refused.value.code, counted() - before) == ("inventory_unavailable", 1)
    gateway.fake_inventory.clear_faults()
    assert (await gateway.preview(key="k")).total_cents == 258


@pytest.mark.parametrize("what", ASSIGNMENTS)
async def test_a_dispatch_that_is_nonsense_is_promised_and_swept(gateway: GatewayActions, what: str) -> None:
    order = await gateway.preview()
    gateway.fake_inventory.rewrite_reply["AssignRobots"] = rewriting(ASSIGNMENTS[what])
    before = counted()
    assert await gateway.confirm(order.order_id) == (await gateway.order(order.order_id), False)
    assert ((await gateway.order(order.order_id)).intent, counted() - before) == (Intent.DISPATCH, 1)
    with pytest.raises(InDoubt):
        await swept(gateway)
    gateway.fake_inventory.clear_faults()
    await swept(gateway)
    assert (await gateway.order(order.order_id)).status is Status.PROCESSING
    assert gateway.fake_inventory.dispatches[str(order.order_id)] == 1


async def test_a_dispatch_that_stays_nonsense_ends_as_what_inventory_says_to_the_release(
    gateway: GatewayActions,
) -> None:
    order_id = (await gateway.preview()).order_id
    gateway.fake_inventory.rewrite_reply["AssignRobots"] = rewriting({"assignments": robot(robot_id=NUL)})
    await gateway.confirm(order_id)
    for tries in range(due.ATTENTION_AFTER):
        assert bool(await attention(gateway, order_id)) is False, tries
        with pytest.raises(InDoubt):
            await swept(gateway)
    assert await attention(gateway, order_id) == due.NO_CLEAR_ANSWER
    await swept(gateway, give_up_after_s=-1.0)
    assert (await gateway.order(order_id)).status is Status.PROCESSING
    assert await attention(gateway, order_id) is None
    await gateway.complete(order_id)
    assert await gateway.path(order_id) == ["PREVIEWED", "PROCESSING", "COMPLETED"]


@pytest.mark.parametrize("what", RELEASES)
async def test_a_release_that_stays_nonsense_is_shown_to_an_operator(gateway: GatewayActions, what: str) -> None:
    order_id = (await gateway.preview()).order_id
    gateway.fake_inventory.rewrite_reply["ReleaseItems"] = rewriting(RELEASES[what])
    _, settled = await gateway.cancel(order_id)
    assert not settled
    for _ in range(due.ATTENTION_AFTER):
        assert await attention(gateway, order_id) is None
        with pytest.raises(InDoubt):
            await swept(gateway)
    assert await attention(gateway, order_id) == due.NO_CLEAR_ANSWER
    gateway.fake_inventory.clear_faults()
    await swept(gateway)
    assert (await gateway.order(order_id)).status is Status.CANCELLED
    assert await attention(gateway, order_id) is None


@pytest.mark.parametrize("what", STATES)
async def test_a_state_that_stays_nonsense_is_shown_to_an_operator(gateway: GatewayActions, what: str) -> None:
    order_id = (await gateway.preview()).order_id
    await gateway.confirm(order_id)
    gateway.fake_inventory.rewrite_reply["GetOrder"] = rewriting(STATES[what])
    for _ in range(due.ATTENTION_AFTER):
        assert await attention(gateway, order_id) is None
        with pytest.raises(InDoubt):
            await reconciled(gateway)
    assert await attention(gateway, order_id) == due.NO_CLEAR_ANSWER
    gateway.fake_inventory.clear_faults()
    await reconciled(gateway)
    assert await attention(gateway, order_id) is None
    gateway.fake_inventory.finish(str(order_id))
    await reconciled(gateway)
    assert (await gateway.order(order_id)).status is Status.COMPLETED


async def test_an_order_that_is_picked_for_long_needs_no_attention(gateway: GatewayActions) -> None:
    order_id = (await gateway.preview()).order_id
    await gateway.confirm(order_id)
    for _ in range(2 * due.ATTENTION_AFTER):
        await reconciled(gateway)
    assert await attention(gateway, order_id) is None


@pytest.mark.parametrize("what", PAGES)
async def test_a_page_of_products_that_is_nonsense_is_in_doubt(gateway: GatewayActions, what: str) -> None:
    gateway.fake_pricing.rewrite_replies["ListProducts"] = rewriting(PAGES[what])
    before = counted()
    with pytest.raises(InDoubt):
        await gateway.pricing.list_products("", "apple", 2)
    assert counted() - before == 1


@pytest.mark.parametrize("what", LEVELS)
async def test_levels_that_are_nonsense_are_in_doubt(gateway: GatewayActions, what: str) -> None:
    gateway.fake_inventory.rewrite_reply["CheckAvailability"] = rewriting(LEVELS[what])
    with pytest.raises(InDoubt):
        await gateway.inventory.check_availability(["milk"])


@pytest.mark.parametrize("updated", [-1, 2])
async def test_a_price_update_that_counts_wrongly_is_in_doubt(gateway: GatewayActions, updated: int) -> None:
    from tests.harness.truck_actions import goods  # noqa: PLC0415

    gateway.fake_pricing.rewrite_replies["UpdateStockMetrics"] = rewriting({"updated": updated})
    with pytest.raises(InDoubt):
        await gateway.pricing.update_stock_metrics([goods()])


async def test_a_partial_grant_costs_the_granted_units_at_the_quoted_price(gateway: GatewayActions) -> None:
    gateway.fake_inventory.stock["milk"] = 3
    order = await gateway.preview(partial=True, milk=5, bread=1)
    assert [(one.sku, one.quantity, one.requested, one.total_cents) for one in order.lines] == [
        ("bread", 1, 1, 249),
        ("milk", 3, 5, 3 * 129),
    ]
    assert order.total_cents == 249 + 3 * 129
    gateway.fake_inventory.stock["milk"] += 1_000


async def test_a_quote_for_units_of_a_partial_grant_is_in_doubt(gateway: GatewayActions) -> None:
    """Pricing is asked for what was requested; it can't know what inventory grants."""
    gateway.fake_inventory.stock["milk"] = 3
    gateway.fake_pricing.rewrite_reply = rewriting(
        {"lines": [line(quantity=3, line_total_cents=387)], "total_cents": 387}
    )
    with pytest.raises(Unavailable):
        await gateway.preview(partial=True, milk=5)
    gateway.fake_inventory.stock["milk"] += 1_000


async def test_a_quote_of_unknown_products_only_needs_no_currency(gateway: GatewayActions) -> None:
    gateway.fake_pricing.rewrite_reply = rewriting({"currency": ""})
    assert (await gateway.pricing.quote(uuid7(), basket(unicorn=1))).unknown_skus == ("unicorn",)


async def attention(gateway: GatewayActions, order_id: UUID) -> str | None:
    row = await gateway.db.row("SELECT attention FROM grocery_orders WHERE order_id = $1", order_id)
    assert row is not None
    reason: str | None = row["attention"]
    return reason


async def make_due(gateway: GatewayActions) -> None:
    await gateway.db.run("UPDATE grocery_orders SET due_at = now() WHERE finished_at IS NULL")


async def swept(gateway: GatewayActions, give_up_after_s: float = 600.0) -> Order | None:
    """Claim the one order that owes a call, and make the call."""
    await make_due(gateway)
    (found,) = await due.claim_owed(gateway.db)
    return await sweep(gateway.store, gateway.inventory, gateway.metrics, found, give_up_after_s=give_up_after_s)


async def reconciled(gateway: GatewayActions) -> None:
    """Claim the one order that robots have, and ask inventory about it."""
    await make_due(gateway)
    (found,) = await due.claim_silent(gateway.db, 60.0)
    await reconcile(gateway.store, gateway.inventory, gateway.metrics, found.order_id)
