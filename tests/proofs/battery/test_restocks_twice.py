"""Restocks: every step in every state, run twice, both at once, and with each of its calls unclear."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from msgspec import Struct

from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.take_in import take_in
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, Restock, RestockStatus
from autogrocery.gateway.store import restocks
from tests.harness.fake_depot import Depot, open_depot
from tests.harness.fake_peers import RestockState
from tests.proofs.battery.restock_table import (
    CELLS,
    MAKERS,
    cell_of,
    id_of,
    row_after,
    said,
    word,
    word_of_state,
)
from tests.proofs.battery.stage import calm
from tests.proofs.battery.test_peers_unclear import NOT_OK

if TYPE_CHECKING:
    import grpc

    from tests.harness.gateway_actions import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
PRICING: Final = "UpdateStockMetrics"
ENDS: Final = {RestockState.RECEIVED: "RECEIVED", RestockState.REJECTED: "REJECTED"}


@pytest_asyncio.fixture(loop_scope="module")
async def depot(house: House) -> Depot:
    return await open_depot(house)


class Trace(Struct, frozen=True):
    """All that a step may have changed: what must be the same after it is run again."""

    row: Restock | None
    path: list[str]
    told: list[str]
    arrivals: int


async def trace(depot: Depot) -> Trace:
    order_id = id_of(depot)
    row = await restocks.get(depot.house.db, order_id)
    return Trace(
        row, await depot.path(order_id), depot.told(order_id), depot.house.shelf.arrivals.get(str(order_id), 0)
    )


async def settle(depot: Depot) -> None:
    """Let the trouble go and the loops run: the restock must come to what inventory has of it, owe nothing, and all be told."""
    house, order_id = depot.house, id_of(depot)
    calm(house)
    row = await restocks.get(house.db, order_id)
    if row is None:
        return
    row = await take_in(house.db, house.inventory, house.pricing, house.metrics, order_id)
    if row and row.status not in RESTOCK_TERMINAL:
        await reconcile_restock(house.db, house.inventory, house.metrics, order_id)
    found = await trace(depot)
    assert found.row is not None
    state = house.shelf.restocks[str(order_id)]
    assert (found.row.status, found.row.intent) == (ENDS.get(state, "RECEIVING"), None)
    assert found.path == found.told
    assert len(found.path) == found.row.version
    counts = {line.goods.sku: (line.received, line.damaged) for line in found.row.lines}
    seen = house.shelf.received.get(str(order_id), {})
    assert {sku: count for sku, count in counts.items() if any(count)} == {k: v for k, v in seen.items() if any(v)}


@pytest.mark.parametrize(("step", "state"), CELLS)
async def test_a_step_run_twice_says_the_same(depot: Depot, step: str, state: str) -> None:
    cell = cell_of(step, state)
    await MAKERS[state](depot)
    assert word((await trace(depot)).row) == word_of_state(state)
    shelf, prices = depot.house.shelf, depot.house.prices
    before = Counter(shelf.calls) + Counter(prices.calls)
    assert await said(step, depot) == cell.says
    assert Counter(shelf.calls) + Counter(prices.calls) - before == Counter(cell.calls.keys())
    first = await trace(depot)
    assert word(first.row) == row_after(state, cell.becomes)
    assert await said(step, depot) == cell.again
    assert await trace(depot) == first
    await settle(depot)


@pytest.mark.parametrize(("step", "state"), CELLS)
async def test_a_step_run_twice_at_once_ends_in_the_same_row(depot: Depot, step: str, state: str) -> None:
    cell = cell_of(step, state)
    await MAKERS[state](depot)
    answers = await asyncio.gather(said(step, depot), said(step, depot))
    assert cell.says in answers
    assert set(answers) <= cell.answers | {cell.says}
    found = await trace(depot)
    assert word(found.row) == row_after(state, cell.becomes)
    assert found.arrivals <= 1
    await settle(depot)


def _troubled() -> list[tuple[str, str, str, Any, bool]]:
    """Every call of every cell, before and after its effect, with one status after the other."""
    statuses = itertools.cycle(NOT_OK)
    return [
        (step, state, call, next(statuses), after)
        for step, state in CELLS
        for call in cell_of(step, state).calls
        for after in (False, True)
    ]


@pytest.mark.parametrize(("step", "state", "call", "status", "after_effect"), _troubled())
async def test_no_clear_answer_is_in_doubt(
    depot: Depot, step: str, state: str, call: str, status: grpc.StatusCode, *, after_effect: bool
) -> None:
    cell = cell_of(step, state)
    answer, becomes = cell.calls[call]
    await MAKERS[state](depot)
    shelf, prices = depot.house.shelf, depot.house.prices
    if call == PRICING:
        prices.trouble, prices.after_effect = status, after_effect
    else:
        shelf.trouble, shelf.after_effect = {call: status}, after_effect
    assert await said(step, depot) == answer
    assert word((await trace(depot)).row) == row_after(state, becomes)
    await settle(depot)


def _another(reply: Any) -> Any:
    reply.order_id = "00000000-0000-7000-8000-000000000000"
    return reply


NONSENSE: Final = {"for another order": _another, "empty message": lambda reply: type(reply)()}


@pytest.mark.parametrize("bent", NONSENSE)
@pytest.mark.parametrize(
    ("step", "state", "call"),
    [
        ("restock", "nothing", "RestockItems"),
        ("sweeping", "announced", "RestockItems"),
        ("reconciling", "receiving", "GetRestock"),
    ],
)
async def test_nonsense_is_no_answer(depot: Depot, step: str, state: str, call: str, bent: str) -> None:
    answer, becomes = cell_of(step, state).calls[call]
    await MAKERS[state](depot)
    depot.house.shelf.bend[call] = NONSENSE[bent]
    assert await said(step, depot) == answer
    assert word((await trace(depot)).row) == row_after(state, becomes)
    await settle(depot)


@pytest.mark.parametrize("change", [{"state": 99}, {"negative": True}])
async def test_a_standing_that_the_contract_does_not_know_is_no_answer(depot: Depot, change: dict[str, Any]) -> None:
    await MAKERS["receiving_some"](depot)

    def bend(reply: Any) -> Any:
        reply.state = change.get("state", reply.state)
        if "negative" in change:
            reply.items[0].received = -1
        return reply

    depot.house.shelf.bend["GetRestock"] = bend
    assert await said("reconciling", depot) == "in doubt"
    await settle(depot)


async def test_peers_that_never_answer_cost_their_deadlines_and_no_more(depot: Depot) -> None:
    house = depot.house
    other = await open_depot(house)
    house.shelf.silent, house.shelf.after_effect = {"RestockItems"}, True
    assert await asyncio.gather(*(said("restock", one) for one in (depot, other))) == ["202 in_doubt"] * 2
    calm(house)
    house.prices.silent = True
    assert await said("sweeping", depot) == "in doubt"
    row = await restocks.get(house.db, id_of(depot))
    assert row is not None
    assert (row.status, row.intent) == (RestockStatus.RECEIVING, "PRICE")
    for one in (depot, other):
        await settle(one)
