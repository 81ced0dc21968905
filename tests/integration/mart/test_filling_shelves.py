"""The shelves of a new network are filled once, however often its start is ended in the middle of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.cli import replaying
from autogrocery.kit.process.faults import Fault, Mode, arm
from autogrocery.lab.demand.demand import load_demand, stock_for
from autogrocery.lab.replay import stocking

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
ORDERS, BATCH = 20, 12


@pytest.fixture
def stack(mart: Mart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What of a running network is asked for; twenty baskets, and a dozen products a call."""
    monkeypatch.setattr(replaying, "DEMO_ORDERS", ORDERS)
    monkeypatch.setattr(stocking, "BATCH", BATCH)
    addresses = {"INVENTORY_GRPC_ADDR": mart.inventory_target, "PRICING_GRPC_ADDR": mart.pricing_target}
    return SimpleNamespace(env=addresses, home=tmp_path, pki=None)


async def test_shelves_that_hold_something_are_left_alone(stack: Any, mart: Mart) -> None:
    await replaying.fill_if_empty(stack)
    rows = await mart.inventory_db.rows(
        "SELECT count(*) AS n FROM inventory.stock WHERE sku NOT IN ('milk', 'yoghurt', 'baguette', 'apple')"
    )
    assert rows[0]["n"] == 0
    assert list(stack.home.glob("stocking*")) == []


async def test_a_start_that_was_ended_in_the_middle_is_gone_on_with(stack: Any, mart: Mart) -> None:
    wanted = {item.sku: item.quantity for item in stock_for(load_demand(ORDERS, 1, stack.home))}
    calls = 2 * -(-len(wanted) // BATCH)
    assert calls > 16
    (stack.home / replaying.STOCKING_FILE).touch()  # this network's shelves are not empty: say that a start has begun
    for hangs_at in (3, 6, 2, 5):  # at pricing and at inventory, in turn
        with arm(Fault("stock.load", Mode.HANG, hangs_at)):
            filling = asyncio.create_task(replaying.fill_if_empty(stack))
            await asyncio.sleep(0.5)
            filling.cancel()
            with suppress(asyncio.CancelledError):
                await filling
        assert (stack.home / replaying.STOCKING_FILE).exists()
    await replaying.fill_if_empty(stack)
    assert not (stack.home / replaying.STOCKING_FILE).exists()
    assert await stocking.levels_of(mart.inventory_target, list(wanted)) == wanted
    await replaying.fill_if_empty(stack)
    assert await stocking.levels_of(mart.inventory_target, list(wanted)) == wanted
