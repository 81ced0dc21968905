"""Restocks: every step in every state, run twice in a row and twice at once, and with each of its calls in doubt."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from msgspec import Struct

from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.submit_restock import submit_restock
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, Restock, RestockStatus
from autogrocery.gateway.store import restocks
from tests.harness.fake_peers import RestockState
from tests.harness.truck_actions import TruckActions, open_truck
from tests.proofs.battery.environment import clear_faults
from tests.proofs.battery.restock_table import (
    CELLS,
    STATES,
    answer_of,
    cell_of,
    expected_row_state,
    id_of,
    row_after,
    row_state,
)
from tests.proofs.battery.test_calls_in_doubt import NOT_OK

if TYPE_CHECKING:
    import grpc

    from tests.harness.gateway_actions import GatewayActions

pytestmark = pytest.mark.asyncio(loop_scope="module")
PRICING: Final = "UpdateStockMetrics"
ENDS: Final = {RestockState.RECEIVED: "RECEIVED", RestockState.REJECTED: "REJECTED"}


@pytest_asyncio.fixture(loop_scope="module")
async def truck(gateway: GatewayActions) -> TruckActions:
    return await open_truck(gateway)


class Snapshot(Struct, frozen=True):
    """Everything that a step may change; a repeated step must leave it equal."""

    row: Restock | None
    path: list[str]
    published: list[str]
    arrivals: int


async def snapshot(truck: TruckActions) -> Snapshot:
    order_id = id_of(truck)
    row = await restocks.get(truck.gateway.db, order_id)
    return Snapshot(
        row,
        await truck.path(order_id),
        truck.published(order_id),
        truck.gateway.fake_inventory.arrivals.get(str(order_id), 0),
    )


async def check_final_state(truck: TruckActions) -> None:
    """Clear the faults and run the loops: the restock must agree with inventory, owe nothing and have published every
    change."""
    gateway, order_id = truck.gateway, id_of(truck)
    clear_faults(gateway)
    row = await restocks.get(gateway.db, order_id)
    if row is None:
        return
    row = await submit_restock(gateway.db, gateway.inventory, gateway.pricing, gateway.metrics, order_id)
    if row and row.status not in RESTOCK_TERMINAL:
        await reconcile_restock(gateway.db, gateway.inventory, gateway.metrics, order_id)
    found = await snapshot(truck)
    assert found.row is not None
    state = gateway.fake_inventory.restocks[str(order_id)]
    assert (found.row.status, found.row.intent) == (ENDS.get(state, "RECEIVING"), None)
    assert found.path == found.published
    assert len(found.path) == found.row.version
    counts = {line.goods.sku: (line.received, line.damaged) for line in found.row.lines}
    seen = gateway.fake_inventory.received.get(str(order_id), {})
    assert {sku: count for sku, count in counts.items() if any(count)} == {k: v for k, v in seen.items() if any(v)}


@pytest.mark.parametrize(("step", "state"), CELLS)
async def test_a_step_run_twice_returns_the_same_and_changes_nothing(
    truck: TruckActions, step: str, state: str
) -> None:
    cell = cell_of(step, state)
    await STATES[state](truck)
    assert row_state((await snapshot(truck)).row) == expected_row_state(state)
    fake_inventory, fake_pricing = truck.gateway.fake_inventory, truck.gateway.fake_pricing
    before = Counter(fake_inventory.calls) + Counter(fake_pricing.calls)
    assert await answer_of(step, truck) == cell.answer
    assert Counter(fake_inventory.calls) + Counter(fake_pricing.calls) - before == Counter(cell.calls.keys())
    first = await snapshot(truck)
    assert row_state(first.row) == row_after(state, cell.becomes)
    assert await answer_of(step, truck) == cell.again
    assert await snapshot(truck) == first
    await check_final_state(truck)


@pytest.mark.parametrize(("step", "state"), CELLS)
async def test_a_step_run_twice_at_once_ends_in_the_same_row(truck: TruckActions, step: str, state: str) -> None:
    cell = cell_of(step, state)
    await STATES[state](truck)
    answers = await asyncio.gather(answer_of(step, truck), answer_of(step, truck))
    assert cell.answer in answers
    assert set(answers) <= cell.answers | {cell.answer}
    found = await snapshot(truck)
    assert row_state(found.row) == row_after(state, cell.becomes)
    assert found.arrivals <= 1
    await check_final_state(truck)


def _cases() -> list[tuple[str, str, str, Any, bool]]:
    """Return every call of every cell, aborted before and after its effect, each with the next gRPC status."""
    statuses = itertools.cycle(NOT_OK)
    return [
        (step, state, call, next(statuses), after)
        for step, state in CELLS
        for call in cell_of(step, state).calls
        for after in (False, True)
    ]


@pytest.mark.parametrize(("step", "state", "call", "status", "after_effect"), _cases())
async def test_a_call_without_a_clear_reply_is_in_doubt(
    truck: TruckActions, step: str, state: str, call: str, status: grpc.StatusCode, *, after_effect: bool
) -> None:
    cell = cell_of(step, state)
    answer, becomes = cell.calls[call]
    await STATES[state](truck)
    fake_inventory, fake_pricing = truck.gateway.fake_inventory, truck.gateway.fake_pricing
    if call == PRICING:
        fake_pricing.abort_with, fake_pricing.after_effect = status, after_effect
    else:
        fake_inventory.abort_with, fake_inventory.after_effect = {call: status}, after_effect
    assert await answer_of(step, truck) == answer
    assert row_state((await snapshot(truck)).row) == row_after(state, becomes)
    await check_final_state(truck)


def _another(reply: Any) -> Any:
    reply.order_id = "00000000-0000-7000-8000-000000000000"
    return reply


INVALID: Final = {"for another order": _another, "empty message": lambda reply: type(reply)()}


@pytest.mark.parametrize("rewrite", INVALID)
@pytest.mark.parametrize(
    ("step", "state", "call"),
    [
        ("restock", "nothing", "RestockItems"),
        ("sweeping", "announced", "RestockItems"),
        ("reconciling", "receiving", "GetRestock"),
    ],
)
async def test_an_invalid_reply_is_in_doubt(
    truck: TruckActions, step: str, state: str, call: str, rewrite: str
) -> None:
    answer, becomes = cell_of(step, state).calls[call]
    await STATES[state](truck)
    truck.gateway.fake_inventory.rewrite_reply[call] = INVALID[rewrite]
    assert await answer_of(step, truck) == answer
    assert row_state((await snapshot(truck)).row) == row_after(state, becomes)
    await check_final_state(truck)


@pytest.mark.parametrize("change", [{"state": 99}, {"negative": True}])
async def test_a_restock_state_that_the_contract_does_not_have_is_in_doubt(
    truck: TruckActions, change: dict[str, Any]
) -> None:
    await STATES["receiving_some"](truck)

    def rewrite(reply: Any) -> Any:
        reply.state = change.get("state", reply.state)
        if "negative" in change:
            reply.items[0].received = -1
        return reply

    truck.gateway.fake_inventory.rewrite_reply["GetRestock"] = rewrite
    assert await answer_of("reconciling", truck) == "in doubt"
    await check_final_state(truck)


async def test_peers_that_never_reply_are_in_doubt_at_their_deadlines(truck: TruckActions) -> None:
    gateway = truck.gateway
    other = await open_truck(gateway)
    gateway.fake_inventory.silent, gateway.fake_inventory.after_effect = {"RestockItems"}, True
    assert await asyncio.gather(*(answer_of("restock", one) for one in (truck, other))) == ["202 in_doubt"] * 2
    clear_faults(gateway)
    gateway.fake_pricing.silent = True
    assert await answer_of("sweeping", truck) == "in doubt"
    row = await restocks.get(gateway.db, id_of(truck))
    assert row is not None
    assert (row.status, row.intent) == (RestockStatus.RECEIVING, "PRICE")
    for one in (truck, other):
        await check_final_state(one)
