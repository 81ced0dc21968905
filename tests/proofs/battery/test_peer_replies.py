"""Clear replies of a peer lead to the answers of the contract; invalid replies count as no reply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.gateway.core.order import Fact
from autogrocery.gateway.store import orders
from autogrocery.kit.errors import Unavailable
from tests.proofs.battery.environment import check_final_state, clear_faults, outcome_of, with_new_device
from tests.proofs.battery.states import STATES, row_state
from tests.proofs.battery.steps import answer_of
from tests.proofs.battery.table import cell_of, row_after

if TYPE_CHECKING:
    from uuid import UUID

    from tests.harness.gateway_actions import GatewayActions

pytestmark = pytest.mark.asyncio(loop_scope="module")
State = inv.GetOrderResponse
Change = dict[str, Any]


def _change(gateway: GatewayActions, call: str, change: Change) -> None:
    """Let a call take effect and reply with some fields changed."""

    def rewrite(reply: Any) -> Any:
        for field, value in change.items():
            if isinstance(value, list):
                reply.ClearField(field)
                getattr(reply, field).extend(value)
            else:
                setattr(reply, field, value)
        return reply

    if call == "Quote":
        gateway.fake_pricing.rewrite_reply = rewrite
    else:
        gateway.fake_inventory.rewrite_reply[call] = rewrite


def refuses(name: int) -> Change:
    return {"success": False, "items": [], "refusal": name}


BREAD = pri.QuoteLine(sku="bread", name="Bread", quantity=1, unit_price_cents=249, line_total_cents=249)
NO_MILK: Final[Change] = {"unknown_skus": ["milk"], "lines": [BREAD], "total_cents": 249}
NUL_ROBOT = inv.Assignment(assignment_id="a-1", robot_id="a\0b", robot_class="dairy")
SHORT = [inv.Shortage(sku="milk", requested=2, available=1)]
# step, state, call, changed fields of its reply, answer of the step, row afterwards ("": unchanged)
CLEAR: Final[list[tuple[str, str, str, Change, str, str]]] = [
    ("preview", "nothing", "ReserveItems", refuses(inv.SHORTAGE) | {"shortages": SHORT}, "409 insufficient_stock", ""),
    ("preview", "nothing", "ReserveItems", refuses(inv.RELEASED), "409 key_used", ""),
    ("preview", "nothing", "ReserveItems", refuses(inv.ITEMS_DIFFER), "422 idempotency_mismatch", ""),
    ("preview", "nothing", "ReserveItems", refuses(inv.UNKNOWN_SKU), "422 unknown_sku", ""),
    ("preview", "nothing", "Quote", NO_MILK, "422 unknown_sku", ""),
    ("preview", "idle", "ReserveItems", refuses(inv.SHORTAGE) | {"shortages": SHORT}, "201 PREVIEWED", ""),
    ("preview", "cancelled", "ReserveItems", refuses(inv.RELEASED), "201 CANCELLED", ""),
    ("preview", "idle", "Quote", NO_MILK, "201 PREVIEWED", ""),
    *(
        ("webhook_full", "idle", "GetOrder", {"state": state}, "409 not_dispatched", "")
        for state in (State.UNKNOWN, State.HELD, State.LAPSED, State.RELEASED)
    ),
    ("reconciling", "processing", "GetOrder", {"state": State.ASSIGNED}, "done", ""),
]
CONTRADICTIONS: Final = [State.UNKNOWN, State.HELD, State.LAPSED, State.RELEASED]
INVALID: Final[list[tuple[str, str, str, Change]]] = [
    ("preview", "nothing", "ReserveItems", {"items": []}),
    (
        "preview",
        "nothing",
        "ReserveItems",
        {"items": [inv.Item(sku="milk", quantity=1), inv.Item(sku="bread", quantity=1)]},
    ),
    (
        "preview",
        "nothing",
        "ReserveItems",
        {"items": [inv.Item(sku="milk", quantity=3), inv.Item(sku="bread", quantity=1)]},
    ),
    ("preview", "nothing", "ReserveItems", {"items": [inv.Item(sku="caviar", quantity=1)]}),
    ("preview", "nothing", "ReserveItems", refuses(99)),
    ("preview", "nothing", "Quote", {"lines": []}),
    (
        "preview",
        "nothing",
        "Quote",
        {"lines": [pri.QuoteLine(sku=sku, unit_price_cents=-1) for sku in ("milk", "bread")]},
    ),
    (
        "preview",
        "nothing",
        "Quote",
        {"lines": [pri.QuoteLine(sku=sku, unit_price_cents=1 << 62) for sku in ("milk", "bread")]},
    ),
    ("preview", "nothing", "Quote", {"lines": [pri.QuoteLine(sku=sku, name="a\0b") for sku in ("milk", "bread")]}),
    ("preview", "nothing", "Quote", {"total_cents": 1}),
    ("preview", "nothing", "Quote", {"currency": "EUR"}),
    ("preview", "nothing", "Quote", {"unknown_skus": ["milk"]}),
    ("confirm", "idle", "AssignRobots", {"assignments": [NUL_ROBOT]}),
    ("confirm", "in_doubt", "AssignRobots", {"assignments": [NUL_ROBOT]}),
    ("sweeping", "in_doubt", "AssignRobots", {"assignments": [NUL_ROBOT]}),
    ("cancel", "idle", "ReleaseItems", {"result": 99}),
    ("webhook_full", "idle", "GetOrder", {"state": 99}),
    ("reconciling", "processing", "GetOrder", {"state": 99}),
]


def ids(row: tuple[Any, ...]) -> list[str]:
    return [f"{step}-{state}-{call}-{n}" for n, (step, state, call, *_) in enumerate(row)]


@pytest.mark.parametrize(("step", "state", "call", "change", "answer", "becomes"), CLEAR, ids=ids(tuple(CLEAR)))
async def test_a_clear_reply_gives_the_contracts_answer(
    gateway: GatewayActions, step: str, state: str, call: str, change: Change, answer: str, becomes: str
) -> None:
    order_id = await STATES[state](gateway)
    _change(gateway, call, change)
    for _ in range(2):
        assert await answer_of(step, gateway, order_id) == answer
        assert row_state(await orders.get(gateway.db, order_id)) == row_after(state, becomes)
    await check_final_state(gateway, order_id)


@pytest.mark.parametrize(("step", "state", "call", "change"), INVALID, ids=ids(tuple(INVALID)))
async def test_an_invalid_reply_is_in_doubt(
    gateway: GatewayActions, step: str, state: str, call: str, change: Change
) -> None:
    cell = cell_of(step, state)
    answer, becomes = cell.calls[call]
    order_id = await STATES[state](gateway)
    _change(gateway, call, change)
    assert await answer_of(step, gateway, order_id) == answer
    assert row_state(await orders.get(gateway.db, order_id)) == row_after(state, becomes)
    clear_faults(gateway)
    if step == "preview":
        assert await answer_of(step, gateway, order_id) == cell.answer
    await check_final_state(gateway, order_id)


async def attention(gateway: GatewayActions, order_id: UUID) -> str | None:
    row = await gateway.db.row("SELECT attention FROM grocery_orders WHERE order_id = $1", order_id)
    assert row is not None
    published: str | None = row["attention"]
    return published


@pytest.mark.parametrize("state", CONTRADICTIONS)
async def test_a_contradicting_state_sets_attention_and_changes_nothing(gateway: GatewayActions, state: int) -> None:
    order_id = await STATES["processing"](gateway)
    _change(gateway, "GetOrder", {"state": state})
    assert await answer_of("reconciling", gateway, order_id) == "done"
    assert (row_state(await gateway.order(order_id)), bool(await attention(gateway, order_id))) == ("PROCESSING", True)
    gateway.fake_inventory.finish(str(order_id))
    await gateway.complete(order_id)
    assert await attention(gateway, order_id) is None
    await check_final_state(gateway, order_id)


@pytest.mark.parametrize("picked", [{"milk": 3, "bread": 1}, {"caviar": 1}])
async def test_counts_that_do_not_fit_the_row_set_attention(gateway: GatewayActions, picked: dict[str, int]) -> None:
    order_id = await STATES["processing"](gateway)
    gateway.fake_inventory.finish(str(order_id), picked)
    await answer_of("reconciling", gateway, order_id)
    assert (row_state(await gateway.order(order_id)), bool(await attention(gateway, order_id))) == ("PROCESSING", True)
    gateway.fake_inventory.finish(str(order_id), {})
    await gateway.complete(order_id, Fact.NOTHING_PICKED)
    await check_final_state(gateway, order_id)


@pytest.mark.parametrize("again", [False, True])
async def test_an_older_quote_of_the_device_is_released_for_a_newer_one(
    gateway: GatewayActions, *, again: bool
) -> None:
    """Quote, reserve, release of the older quote, reserve: each of the last two calls in doubt, then repeated."""
    older = await gateway.preview(key="older", apple=999)
    left = gateway.fake_inventory.stock["apple"]
    gateway.fake_inventory.stock["apple"] = 1
    try:
        call = "ReserveItems" if again else "ReleaseItems"
        gateway.fake_inventory.abort_with = {call: grpc.StatusCode.UNAVAILABLE}
        refused = await outcome_of(gateway.preview(key="k", apple=999))
        assert isinstance(refused, Unavailable), refused
        assert row_state(await gateway.order(older.order_id)) in {"PREVIEWED", "PREVIEWED releasing CANCELLED"}
        clear_faults(gateway)
        assert (await gateway.preview(key="k", apple=999)).lines[0].quantity == 999
        assert row_state(await gateway.order(older.order_id)) == "CANCELLED"
    finally:
        gateway.fake_inventory.stock["apple"] += left - 1
    newer = await gateway.preview(key="k", apple=999)
    for order_id in (older.order_id, newer.order_id):
        await check_final_state(gateway, order_id)


SILENT: Final = [
    ("confirm", "idle", "AssignRobots"),
    ("confirm", "in_doubt", "AssignRobots"),
    ("cancel", "idle", "ReleaseItems"),
    ("cancel", "processing", "ReleaseItems"),
    ("expiry", "overdue", "ReleaseItems"),
    ("sweeping", "in_doubt", "AssignRobots"),
    ("sweeping", "releasing_failed", "ReleaseItems"),
    ("webhook_full", "idle", "GetOrder"),
    ("reconciling", "processing", "GetOrder"),
    ("preview", "nothing", "ReserveItems"),
    ("preview", "nothing", "Quote"),
]


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_peer_that_never_replies_is_in_doubt_at_its_deadline(
    gateway: GatewayActions, *, after_effect: bool
) -> None:
    """All calls at once, because each waits for its deadline."""
    made = []
    for _, state, _ in SILENT:
        cell = await with_new_device(gateway)
        made.append((cell, await STATES[state](cell)))
    gateway.fake_inventory.silent, gateway.fake_pricing.silent, gateway.fake_inventory.after_effect = (
        {call for _, _, call in SILENT},
        True,
        after_effect,
    )
    answers = await asyncio.gather(
        *(answer_of(step, cell, order_id) for (step, _, _), (cell, order_id) in zip(SILENT, made, strict=True))
    )
    for (step, state, call), answer, (cell, order_id) in zip(SILENT, answers, made, strict=True):
        published, becomes = cell_of(step, state).calls[call]
        if step != "preview":  # both of its peers are silent, and the answer names either
            assert answer == published
        assert answer.startswith(("202", "503", "in doubt"))
        assert row_state(await orders.get(cell.db, order_id)) == row_after(state, becomes)
    for cell, order_id in made:
        await check_final_state(cell, order_id)
