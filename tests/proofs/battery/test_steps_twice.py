"""Every step in every state, run twice: one after the other, and both at once. Twice is as once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.store import orders
from tests.proofs.battery.stage import settle, trace
from tests.proofs.battery.states import MAKERS, word, word_of_state
from tests.proofs.battery.steps import said
from tests.proofs.battery.table import CELLS, MEANWHILE, cell_of, row_after

if TYPE_CHECKING:
    from tests.harness.gateway_actions import House

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.parametrize(("step", "state"), CELLS)]


async def test_a_step_run_twice_says_the_same(house: House, step: str, state: str) -> None:
    cell = cell_of(step, state)
    order_id = await MAKERS[state](house)
    assert word(await orders.get(house.db, order_id)) == word_of_state(state)
    before, reads = Counter(house.shelf.calls), house.prices.calls["Quote"]
    assert await said(step, house, order_id) == cell.says
    calls = house.shelf.calls - before + Counter(Quote=house.prices.calls["Quote"] - reads)
    assert calls == Counter(cell.calls.keys())
    first = await trace(house, order_id)
    assert word(first.order) == row_after(state, cell.becomes)
    assert await said(step, house, order_id) == cell.again
    assert await trace(house, order_id) == first
    await settle(house, order_id)


async def test_a_step_run_twice_at_once_ends_in_the_same_row(house: House, step: str, state: str) -> None:
    cell = cell_of(step, state)
    order_id = await MAKERS[state](house)
    answers = await asyncio.gather(said(step, house, order_id), said(step, house, order_id))
    assert cell.says in answers
    assert set(answers) <= cell.answers | {MEANWHILE.get(step, cell.says)}
    found = await trace(house, order_id)
    assert word(found.order) == row_after(state, cell.becomes)
    assert found.dispatches <= 1
    await settle(house, order_id)
