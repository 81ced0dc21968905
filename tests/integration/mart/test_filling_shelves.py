"""A new network is stocked once, however often its start is interrupted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.cli import replay
from autogrocery.kit.process.faults import Fault, Mode, arm
from autogrocery.lab.demand.demand import load_demand, stock_for
from autogrocery.lab.replay import stocking
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
ORDERS, BATCH = 20, 12


@pytest.fixture
def stack(mart: Mart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The parts of a running network that stocking uses; twenty baskets, and twelve products a call."""
    monkeypatch.setattr(replay, "DEMO_ORDERS", ORDERS)
    monkeypatch.setattr(stocking, "BATCH", BATCH)
    addresses = {"INVENTORY_GRPC_ADDR": mart.inventory_target, "PRICING_GRPC_ADDR": mart.pricing_target}
    return SimpleNamespace(env=addresses, home=tmp_path, pki=None)


async def test_existing_stock_is_not_changed(stack: Any, mart: Mart) -> None:
    await replay.stock_if_empty(stack)
    rows = await mart.inventory_db.rows(
        "SELECT count(*) AS n FROM inventory.stock WHERE sku NOT IN ('milk', 'yoghurt', 'baguette', 'apple')"
    )
    assert rows[0]["n"] == 0
    assert list(stack.home.glob("stocking*")) == []


async def test_interrupted_stocking_is_continued(stack: Any, mart: Mart) -> None:
    wanted = {item.sku: item.quantity for item in stock_for(load_demand(ORDERS, 1, stack.home))}
    assert 2 * -(-len(wanted) // BATCH) > 16  # calls
    (stack.home / replay.STOCKING_FILE).touch()  # the network has stock already: mark its stocking as started
    for hangs_at in (3, 6, 2, 5):  # calls to pricing and to inventory, in turn
        with arm(Fault("stock.load", Mode.HANG, hangs_at)) as calls:
            filling = asyncio.create_task(replay.stock_if_empty(stack))
            await until(lambda calls=calls, nth=hangs_at: calls.get("stock.load", 0) >= nth)  # type: ignore[misc]
            filling.cancel()
            with suppress(asyncio.CancelledError):
                await filling
        assert (stack.home / replay.STOCKING_FILE).exists()
    await replay.stock_if_empty(stack)
    assert not (stack.home / replay.STOCKING_FILE).exists()
    assert await stocking.stock_levels(mart.inventory_target, list(wanted)) == wanted
    await replay.stock_if_empty(stack)
    assert await stocking.stock_levels(mart.inventory_target, list(wanted)) == wanted
