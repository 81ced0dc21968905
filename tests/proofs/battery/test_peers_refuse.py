"""What a peer says clearly, word by word; and what it says nonsensically, which is as good as nothing."""

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
from tests.proofs.battery.stage import attempt, calm, fresh, settle
from tests.proofs.battery.states import MAKERS, word
from tests.proofs.battery.steps import said
from tests.proofs.battery.table import cell_of, row_after

if TYPE_CHECKING:
    from uuid import UUID

    from tests.harness.gateway_actions import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
State = inv.GetOrderResponse
Change = dict[str, Any]


def _change(house: House, call: str, change: Change) -> None:
    """The call has its effect, and answers with some fields changed."""

    def bend(reply: Any) -> Any:
        for field, value in change.items():
            if isinstance(value, list):
                reply.ClearField(field)
                getattr(reply, field).extend(value)
            else:
                setattr(reply, field, value)
        return reply

    if call == "Quote":
        house.prices.bend = bend
    else:
        house.shelf.bend[call] = bend


def refuses(name: int) -> Change:
    return {"success": False, "items": [], "refusal": name}


SHORT = [inv.Shortage(sku="milk", requested=2, available=1)]
# step, state, call, its answer, what is said, what the row becomes ("": stays)
CLEAR: Final[list[tuple[str, str, str, Change, str, str]]] = [
    ("preview", "nothing", "ReserveItems", refuses(inv.SHORTAGE) | {"shortages": SHORT}, "409 insufficient_stock", ""),
    ("preview", "nothing", "ReserveItems", refuses(inv.RELEASED), "409 key_used", ""),
    ("preview", "nothing", "ReserveItems", refuses(inv.ITEMS_DIFFER), "422 idempotency_mismatch", ""),
    ("preview", "nothing", "ReserveItems", refuses(inv.UNKNOWN_SKU), "422 unknown_sku", ""),
    ("preview", "nothing", "Quote", {"unknown_skus": ["milk"]}, "422 unknown_sku", ""),
    ("preview", "idle", "ReserveItems", refuses(inv.SHORTAGE) | {"shortages": SHORT}, "201 PREVIEWED", ""),
    ("preview", "cancelled", "ReserveItems", refuses(inv.RELEASED), "201 CANCELLED", ""),
    ("preview", "idle", "Quote", {"unknown_skus": ["milk"]}, "201 PREVIEWED", ""),
    *(
        ("webhook_full", "idle", "GetOrder", {"state": state}, "409 not_dispatched", "")
        for state in (State.UNKNOWN, State.HELD, State.LAPSED, State.RELEASED)
    ),
    ("reconciling", "processing", "GetOrder", {"state": State.ASSIGNED}, "done", ""),
]
CONTRADICTIONS: Final = [State.UNKNOWN, State.HELD, State.LAPSED, State.RELEASED]
NONSENSE: Final[list[tuple[str, str, str, Change]]] = [
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
    ("cancel", "idle", "ReleaseItems", {"result": 99}),
    ("webhook_full", "idle", "GetOrder", {"state": 99}),
    ("reconciling", "processing", "GetOrder", {"state": 99}),
]


def ids(row: tuple[Any, ...]) -> list[str]:
    return [f"{step}-{state}-{call}-{n}" for n, (step, state, call, *_) in enumerate(row)]


@pytest.mark.parametrize(("step", "state", "call", "change", "answer", "becomes"), CLEAR, ids=ids(tuple(CLEAR)))
async def test_a_clear_answer_is_told_as_the_contract_says(
    house: House, step: str, state: str, call: str, change: Change, answer: str, becomes: str
) -> None:
    order_id = await MAKERS[state](house)
    _change(house, call, change)
    for _ in range(2):
        assert await said(step, house, order_id) == answer
        assert word(await orders.get(house.db, order_id)) == row_after(state, becomes)
    await settle(house, order_id)


@pytest.mark.parametrize(("step", "state", "call", "change"), NONSENSE, ids=ids(tuple(NONSENSE)))
async def test_nonsense_is_no_answer(house: House, step: str, state: str, call: str, change: Change) -> None:
    cell = cell_of(step, state)
    answer, becomes = cell.calls[call]
    order_id = await MAKERS[state](house)
    _change(house, call, change)
    assert await said(step, house, order_id) == answer
    assert word(await orders.get(house.db, order_id)) == row_after(state, becomes)
    calm(house)
    if step == "preview":
        assert await said(step, house, order_id) == cell.says
    await settle(house, order_id)


async def attention(house: House, order_id: UUID) -> str | None:
    row = await house.db.row("SELECT attention FROM grocery_orders WHERE order_id = $1", order_id)
    assert row is not None
    told: str | None = row["attention"]
    return told


@pytest.mark.parametrize("state", CONTRADICTIONS)
async def test_a_contradiction_asks_for_attention_and_is_never_guessed_at(house: House, state: int) -> None:
    order_id = await MAKERS["processing"](house)
    _change(house, "GetOrder", {"state": state})
    assert await said("reconciling", house, order_id) == "done"
    assert (word(await house.order(order_id)), bool(await attention(house, order_id))) == ("PROCESSING", True)
    house.shelf.finish(str(order_id))
    await house.complete(order_id)
    assert await attention(house, order_id) is None
    await settle(house, order_id)


@pytest.mark.parametrize("picked", [{"milk": 3, "bread": 1}, {"caviar": 1}])
async def test_counts_that_do_not_fit_the_row_ask_for_attention(house: House, picked: dict[str, int]) -> None:
    order_id = await MAKERS["processing"](house)
    house.shelf.finish(str(order_id), picked)
    await said("reconciling", house, order_id)
    assert (word(await house.order(order_id)), bool(await attention(house, order_id))) == ("PROCESSING", True)
    house.shelf.finish(str(order_id), {})
    await house.complete(order_id, Fact.NOTHING_PICKED)
    await settle(house, order_id)


@pytest.mark.parametrize("again", [False, True])
async def test_a_quote_of_the_devices_own_is_let_go_for_a_newer_one(house: House, *, again: bool) -> None:
    """Quote, reserve, release of the older one, reserve: each of the two later calls in doubt, then asked again."""
    older = await house.preview(key="older", apple=999)
    left = house.shelf.stock["apple"]
    house.shelf.stock["apple"] = 1
    try:
        call = "ReserveItems" if again else "ReleaseItems"
        house.shelf.trouble = {call: grpc.StatusCode.UNAVAILABLE}
        refused = await attempt(house.preview(key="k", apple=999))
        assert isinstance(refused, Unavailable), refused
        assert word(await house.order(older.order_id)) in {"PREVIEWED", "PREVIEWED releasing CANCELLED"}
        calm(house)
        assert (await house.preview(key="k", apple=999)).lines[0].quantity == 999
        assert word(await house.order(older.order_id)) == "CANCELLED"
    finally:
        house.shelf.stock["apple"] += left - 1
    newer = await house.preview(key="k", apple=999)
    for order_id in (older.order_id, newer.order_id):
        await settle(house, order_id)


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
async def test_a_peer_that_never_answers_costs_its_deadline_and_no_more(house: House, *, after_effect: bool) -> None:
    """All at once, because each waits for a deadline."""
    made = []
    for _, state, _ in SILENT:
        cell = await fresh(house)
        made.append((cell, await MAKERS[state](cell)))
    house.shelf.silent, house.prices.silent, house.shelf.after_effect = (
        {call for _, _, call in SILENT},
        True,
        after_effect,
    )
    answers = await asyncio.gather(
        *(said(step, cell, order_id) for (step, _, _), (cell, order_id) in zip(SILENT, made, strict=True))
    )
    for (step, state, call), answer, (cell, order_id) in zip(SILENT, answers, made, strict=True):
        told, becomes = cell_of(step, state).calls[call]
        if step != "preview":  # both of its peers are silent, and either may be named
            assert answer == told
        assert answer.startswith(("202", "503", "in doubt"))
        assert word(await orders.get(cell.db, order_id)) == row_after(state, becomes)
    for cell, order_id in made:
        await settle(cell, order_id)
