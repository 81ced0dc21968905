"""`stock load`, run as a process that is killed, interrupted and repeated: each product comes once, or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from autogrocery.kit.process.faults import Fault, Mode, arm
from autogrocery.lab.demand.demand import StockItem
from autogrocery.lab.demand.stock_file import HEADER
from autogrocery.lab.ports import free_ports
from autogrocery.lab.replay import stocking

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROGRAM = """
import sys
from autogrocery.__main__ import main
from autogrocery.kit.process import faults
from autogrocery.lab.replay import stocking
stocking.BATCH = 2
faults.arm_for_life(faults.parse(sys.argv[1]))
sys.exit(main(["stock", "load", *sys.argv[2:]]))
"""
PRODUCTS = 7  # four batches, so eight calls that write


class Ended(Struct, frozen=True):
    code: int
    out: str
    err: str


async def load(
    mart: Mart, *words: str | Path, faults: str = "", interrupt_after_s: float | None = None, **environ: str
) -> Ended:
    """Run `stock load` against the mart, two products a batch; with a time, interrupt it as Ctrl-C does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        faults,
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "AUTOGROCERY_HOME": "/nonexistent/home",
            "INVENTORY_GRPC_TARGET": mart.inventory_target,
            "PRICING_GRPC_TARGET": mart.pricing_target,
            **environ,
        },
    )
    ending = asyncio.create_task(process.communicate())
    if interrupt_after_s is not None:
        await asyncio.wait((ending,), timeout=interrupt_after_s)
        process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(ending, 60)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def stock_csv(folder: Path, name: str, *, aisle: str = "meat", quantity: int = 5) -> tuple[Path, dict[str, int]]:
    """Write a stock file of new products; returns it and the units of each."""
    wanted = {f"{name}-{number}": quantity + number for number in range(PRODUCTS)}
    rows = [f"{sku},Product {sku},{aisle},100,50,{units}" for sku, units in wanted.items()]
    path = folder / f"{name}.csv"
    path.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    return path, wanted


async def levels(mart: Mart, wanted: dict[str, int]) -> dict[str, int]:
    return await stocking.stock_levels(mart.inventory_target, list(wanted))


async def prices(mart: Mart, prefix: str) -> int:
    """Return how many products of the price list begin with `prefix`."""
    found = await stocking.find_misplaced(
        mart.pricing_target,
        [stocking_item(f"{prefix}-{number}") for number in range(PRODUCTS)],
    )
    return len(found)


def stocking_item(sku: str) -> StockItem:
    return StockItem(sku, sku, "party", 1, 1, 1)


@pytest.mark.parametrize("mode", ["kill-before", "kill-after"])
async def test_load_killed_at_any_call_and_repeated_adds_each_product_once(
    mart: Mart, tmp_path: Path, mode: str
) -> None:
    for nth in range(1, 9):
        file, wanted = stock_csv(tmp_path, f"{mode}-{nth}")
        killed = await load(mart, file, faults=f"stock.load:{mode}:{nth}")
        assert killed.code == -signal.SIGKILL
        repeated = await load(mart, file)
        assert repeated.code == 0, repeated.err
        assert await levels(mart, wanted) == wanted, nth


async def test_interrupted_load_says_how_far_it_came_and_repeats_exactly(mart: Mart, tmp_path: Path) -> None:
    file, wanted = stock_csv(tmp_path, "interrupted")
    interrupted = await load(mart, file, faults="stock.load:hang:6", interrupt_after_s=5.0)
    assert (interrupted.code, interrupted.out) == (130, "")
    assert interrupted.err.startswith("autogrocery stock load: interrupted; 4 of 7 products are loaded; repeat the")
    assert len(interrupted.err.splitlines()) == 1
    repeated = await load(mart, file)
    assert repeated.out.splitlines()[0].startswith("3 products, 30 units loaded, load id ")
    assert await levels(mart, wanted) == wanted


async def test_same_goods_again_are_loaded_already_until_the_delivery_has_a_name(mart: Mart, tmp_path: Path) -> None:
    file, wanted = stock_csv(tmp_path, "again")
    assert (await load(mart, file)).code == 0
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\r\n".join([header, *reversed(rows)]).replace(",", ";"), encoding="utf-16")
    again = await load(mart, file)
    told = "7 products of this load were loaded already; to load the same goods once more, name the delivery:"
    assert (again.code, again.out) == (0, f"{told} --load-id NAME\n")
    assert await levels(mart, wanted) == wanted
    for _ in range(2):
        assert (await load(mart, file, "--load-id", "note-4711")).code == 0
    assert await levels(mart, wanted) == {sku: 2 * units for sku, units in wanted.items()}


async def test_name_of_another_delivery_is_refused_and_adds_nothing(mart: Mart, tmp_path: Path) -> None:
    first, _ = stock_csv(tmp_path, "first")
    second, wanted = stock_csv(tmp_path, "second")
    assert (await load(mart, first, "--load-id", "note-1")).code == 0
    refused = await load(mart, second, "--load-id", "note-1")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "inventory has other goods under this load id" in refused.err
    assert (await levels(mart, wanted), await prices(mart, "second")) == ({}, 0)


async def test_wrong_line_at_the_end_writes_nothing_to_either_peer(mart: Mart, tmp_path: Path) -> None:
    file, wanted = stock_csv(tmp_path, "wrong")
    with file.open("a", encoding="utf-8") as opened:
        opened.write("\nwrong-x,X,meat,100,50,0\nwrong-y,Y,fish,100,50,1")
    refused = await load(mart, file)
    assert refused.code == 2
    assert [line[:9] for line in refused.err.splitlines()[1:]] == ["  line 9:", "  line 10"]
    assert (await levels(mart, wanted), await prices(mart, "wrong")) == ({}, 0)


async def test_product_in_another_aisle_is_named_by_its_line_and_nothing_is_written(mart: Mart, tmp_path: Path) -> None:
    file, wanted = stock_csv(tmp_path, "aisle")
    with file.open("a", encoding="utf-8") as opened:
        opened.write("\nmilk,Milk,bread,129,64,5")
    before = await levels(mart, {"milk": 0})
    refused = await load(mart, file)
    assert (refused.code, refused.err.splitlines()[1:]) == (
        2,
        ["  line 9: sku 'milk' is in the aisle dairy; if that is wrong, add --change-aisles"],
    )
    assert (await levels(mart, wanted), await prices(mart, "aisle")) == ({}, 0)
    assert await levels(mart, {"milk": 0}) == before


async def test_file_that_inventory_refused_midway_is_corrected_and_continued(mart: Mart, tmp_path: Path) -> None:
    file, wanted = stock_csv(tmp_path, "refused")
    shelved = pb.RestockRequest(order_id=str(uuid7()), supplier_id="other", shelved=True)
    shelved.items.add(sku="refused-6", name="Elsewhere", aisle_type="dairy", quantity=1, unit_cost_cents=1)
    assert (await mart.inventory.stub.RestockItems(shelved)).success  # the price list does not know it
    refused = await load(mart, file)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "inventory refused the stock: refused-6 stands in another aisle; 6 of 7 products" in refused.err
    load_id = refused.err.partition("--load-id ")[2].partition(":")[0]
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("refused-6,Product refused-6,meat", "refused-6,Product refused-6,dairy"), "utf-8")
    words = ("--load-id", load_id)
    assert "is in the aisle meat" in (await load(mart, file, *words)).err  # pricing was told so by the first attempt
    continued = await load(mart, file, *words, "--change-aisles")
    assert continued.out.startswith("1 products, 11 units loaded"), continued.err
    assert await levels(mart, wanted) == wanted | {"refused-6": 12}


@pytest.mark.parametrize("peer", ["INVENTORY", "PRICING"])
async def test_dead_peer_is_one_line_and_nothing_is_written(mart: Mart, tmp_path: Path, peer: str) -> None:
    file, wanted = stock_csv(tmp_path, f"dead-{peer}")
    failed = await load(mart, file, **{f"{peer}_GRPC_TARGET": f"127.0.0.1:{free_ports(1)[0]}"})
    assert (failed.code, len(failed.err.splitlines())) == (2, 1), failed.err
    assert peer.lower() in failed.err
    assert (await levels(mart, wanted), await prices(mart, f"dead-{peer}")) == ({}, 0)


async def test_two_loads_of_one_file_at_once_add_it_once(mart: Mart, tmp_path: Path) -> None:
    file, wanted = stock_csv(tmp_path, "both")
    ended = await asyncio.gather(*(load(mart, file, faults="stock.load:late") for _ in range(2)))
    assert [one.code for one in ended] == [0, 0], ended
    assert await levels(mart, wanted) == wanted


async def test_batch_that_another_attempt_entered_with_other_dates_counts_as_loaded(mart: Mart) -> None:
    """As around midnight, when goods without dates get those of the next day."""

    def attempt(days: int) -> Awaitable[stocking.LoadResult]:
        item = StockItem("midnight-1", "Midnight", "party", 1, 1, 1, expiry_date=now().date() + timedelta(days=days))
        return stocking.load_stock(mart.inventory_target, mart.pricing_target, [item], load_id="midnight")

    with arm(Fault("stock.load", Mode.DELAY, 1)) as calls:  # the slower one has looked before the other enters it
        await asyncio.gather(attempt(10), attempt(11))
    assert (calls["stock.get_restock"], calls["stock.load"]) == (3, 4)
    assert await levels(mart, {"midnight-1": 1}) == {"midnight-1": 1}
