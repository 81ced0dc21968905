"""Every step in every state, run twice in a row and twice at once: the second run changes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.store import orders
from tests.proofs.battery.environment import check_final_state, snapshot
from tests.proofs.battery.states import STATES, expected_row_state, row_state
from tests.proofs.battery.steps import answer_of
from tests.proofs.battery.table import CELLS, CONCURRENT_ANSWERS, cell_of, row_after

if TYPE_CHECKING:
    from tests.harness.gateway_actions import GatewayActions

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.parametrize(("step", "state"), CELLS)]


async def test_a_step_run_twice_returns_the_same_and_changes_nothing(
    gateway: GatewayActions, step: str, state: str
) -> None:
    cell = cell_of(step, state)
    order_id = await STATES[state](gateway)
    assert row_state(await orders.get(gateway.db, order_id)) == expected_row_state(state)
    before, reads = Counter(gateway.fake_inventory.calls), gateway.fake_pricing.calls["Quote"]
    assert await answer_of(step, gateway, order_id) == cell.answer
    calls = gateway.fake_inventory.calls - before + Counter(Quote=gateway.fake_pricing.calls["Quote"] - reads)
    assert calls == Counter(cell.calls.keys())
    first = await snapshot(gateway, order_id)
    assert row_state(first.order) == row_after(state, cell.becomes)
    assert await answer_of(step, gateway, order_id) == cell.again
    assert await snapshot(gateway, order_id) == first
    await check_final_state(gateway, order_id)


async def test_a_step_run_twice_at_once_ends_in_the_same_row(gateway: GatewayActions, step: str, state: str) -> None:
    cell = cell_of(step, state)
    order_id = await STATES[state](gateway)
    answers = await asyncio.gather(answer_of(step, gateway, order_id), answer_of(step, gateway, order_id))
    assert cell.answer in answers
    assert set(answers) <= cell.answers | {CONCURRENT_ANSWERS.get(step, cell.answer)}
    found = await snapshot(gateway, order_id)
    assert row_state(found.order) == row_after(state, cell.becomes)
    assert found.dispatches <= 1
    await check_final_state(gateway, order_id)
