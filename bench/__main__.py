"""`python -m bench`: run the benchmark, print its tables, write its JSON.

Exit code 1 if an audit found a violation or a receipt of a completed order did not arrive.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from autogrocery.kit.process import clock, log
from bench import order_cost, suite
from bench.blocks import measure_blocks
from bench.environment import check_durable, open_postgres
from bench.job import PROGRESS
from bench.measure import make_baskets
from bench.proc import describe
from bench.profile import functions_of_gateway
from bench.record import Record
from bench.statement import measure_batches
from bench.tables import result_tables
from bench.without import OPTIMIZATIONS

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.cells import ResultTable
    from bench.job import LoadEvent
    from bench.measure import OnEvent

AS_IT_IS: Final = "as it is"  # name of the unchanged gateway's run in the JSON
OPEN_FILES: Final = 16_384
PROFILED_FUNCTIONS: Final = 25
FINISHED_ORDERS: Final = [6_250, 62_500, 625_000]  # the last makes 5 million rows
WIDTH: Final = 160  # columns, where the output is not a terminal


def numbers(text: str) -> list[int]:
    """Parse integers separated by commas."""
    return [int(part) for part in text.split(",") if part]


def parts(text: str) -> list[str]:
    """Parse names of parts separated by commas; `all` is every part."""
    return [*PARTS, COST] if text == "all" else text.split(",")


def parse_options() -> argparse.Namespace:
    """Parse the command line; exit with code 2 for an unknown part or optimization."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure what an order costs, and compare it with pgbench on the same server."
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of each run")
    parser.add_argument("--connections", type=numbers, default=[1, 8, 64, 128, 512])
    parser.add_argument(
        "--gateways", type=numbers, default=[1], help="gateways; further numbers are measured at --part-connections"
    )
    parser.add_argument(
        "--lines", type=numbers, default=[3], help="lines of an order; further numbers as with --gateways"
    )
    parser.add_argument("--rounds", type=int, default=1, help="rounds of each row: pgbench, then the gateway")
    parser.add_argument("--part-connections", type=int, default=64, help="of parts with one number of connections")
    parser.add_argument(
        "--grown", type=numbers, default=FINISHED_ORDERS, help="finished orders in the tables, 8 rows each"
    )
    parser.add_argument("--whole-connections", type=numbers, default=[64])
    parser.add_argument(
        "--parts",
        type=parts,
        default=list(SHORT),
        metavar="NAME,…",
        help=f"some of {', '.join([*PARTS, COST])}, or all; default: {', '.join(SHORT)}",
    )
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="a setting of the gateway"
    )
    parser.add_argument(
        "--without",
        type=lambda text: list(OPTIMIZATIONS) if text == "all" else text.split(","),
        default=[],
        metavar="NAME,…",
        help=f"one more run without each of these optimizations, or all: {', '.join(OPTIMIZATIONS)}",
    )
    parser.add_argument(
        "--update", action="store_true", help="keep the other parts that the JSON file has, if there is one"
    )
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"))
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS, COST} | set(options.without) - {*OPTIMIZATIONS}:
        parser.error(f"no such part or optimization: {', '.join(sorted(unknown))}")
    return options


async def run(
    server: EmbeddedPostgres, options: argparse.Namespace, console: Console, previous: Record | None
) -> Record:
    """Run each part that the options name. `previous`: the record whose other parts are kept, or None."""

    def announce(title: str) -> OnEvent:
        console.print(f"[bold]{title}[/]")
        return lambda event: print_progress(event, console)

    settings = dict(one.split("=", 1) for one in options.settings)
    bench = suite.Bench(server, options.seconds, settings, announce)
    today, loop_us = clock.now().date().isoformat(), round(order_cost.calibration_loop_us(), 1)
    record = previous or Record(
        at=today,
        machine=describe(server.binaries.version),
        durable=await check_durable(server.dsn()),
        load_average=round(os.getloadavg()[0], 1),
        loop_us=loop_us,
        seconds=options.seconds,
        settings=settings,
    )
    for part in [part for part in options.parts if part in PARTS]:
        record = await PARTS[part](bench, record, options)
        if previous is not None:
            record = mark_remeasured(record, part, today, loop_us)
    return record


def mark_remeasured(record: Record, part: str, today: str, loop_us: float) -> Record:
    """Return the record with the day on which one part was measured again."""
    return msgspec.structs.replace(
        record, remeasured={**record.remeasured, part: f"{today} ({loop_us:.0f} µs for the loop)"}
    )


async def rows(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Compare with pgbench for each number of connections, then with more gateways and with more lines."""
    gateways, lines, connections = options.gateways[0], options.lines[0], options.part_connections
    shapes = [
        *((count, gateways, lines) for count in options.connections),
        *((connections, more, lines) for more in options.gateways[1:]),
        *((connections, gateways, more) for more in options.lines[1:]),
    ]
    measured = [await suite.compare(bench, *shape, options.rounds) for shape in shapes]
    return msgspec.structs.replace(record, rows=measured)


async def whole(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Run the whole network for each number of connections."""
    return msgspec.structs.replace(
        record, whole=[await suite.whole(bench, count) for count in options.whole_connections]
    )


async def with_peak(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Return the record with a peak rate, which is measured if it has none."""
    if record.peak:
        return record
    row = await suite.compare(bench, options.part_connections, 1, options.lines[0], options.rounds)
    return msgspec.structs.replace(record, rows=[row])


async def open_loop(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Run at half the peak rate and at three times the peak rate."""
    record, lines = await with_peak(bench, record, options), options.lines[0]
    half = await suite.open_loop(bench, record.peak * suite.HALF, suite.HALF_CONNECTIONS, lines)
    overload = await suite.open_loop(bench, record.peak * suite.OVERLOAD, suite.OVERLOAD_CONNECTIONS, lines)
    return msgspec.structs.replace(record, half=half, overload=overload)


async def logins(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Run without and with devices that log in."""
    return msgspec.structs.replace(record, logins=await suite.logins(bench, options.lines[0]))


async def mail(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Run at half the peak rate with a usual and a slow mail server, and with a burst of receipts."""
    record = await with_peak(bench, record, options)
    return msgspec.structs.replace(record, mail=await suite.mail(bench, record.peak * suite.HALF, options.lines[0]))


async def switched(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Run the unchanged gateway, then once without each optimization of `--without`."""
    cases = {
        name or AS_IT_IS: await suite.switched(bench, options.part_connections, options.lines[0], name)
        for name in (["", *options.without] if options.without else [])
    }
    return msgspec.structs.replace(record, switched=cases)


async def table_growth(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Run with each number of finished orders in the tables."""
    results = [
        await suite.table_growth(bench, orders, options.part_connections, options.lines[0]) for orders in options.grown
    ]
    return msgspec.structs.replace(record, table_growth=results)


async def building_blocks(bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Measure each building block of an order alone, and the parts of PostgreSQL's statements."""
    concurrency, lines = options.part_connections, options.lines[0]
    bench.announce(f"building blocks, {concurrency} at a time")
    costs = await measure_blocks(bench.server, concurrency, make_baskets(lines)[0])
    bench.announce(f"batched statements, {concurrency} orders a batch")
    batch_costs = await measure_batches(bench.server, concurrency, lines)
    return msgspec.structs.replace(record, blocks=costs, block_connections=concurrency, batch_costs=batch_costs)


async def profiled(_bench: suite.Bench, record: Record, options: argparse.Namespace) -> Record:
    """Profile the gateway."""
    rows = await functions_of_gateway(options.part_connections, options.seconds, options.lines[0], PROFILED_FUNCTIONS)
    return msgspec.structs.replace(record, profile=rows)


PARTS: Final = {
    "rows": rows,
    "open": open_loop,
    "logins": logins,
    "mail": mail,
    "whole": whole,
    "switched": switched,
    "grown": table_growth,
    "blocks": building_blocks,
    "profile": profiled,
}
COST: Final = "cost"  # needs its own server, which loads pg_stat_statements
SHORT: Final = ("rows", "open", "logins", "mail")


def print_progress(event: LoadEvent, console: Console) -> None:
    """Print how many orders a run has finished."""
    if event.kind == PROGRESS:
        console.print(f"  {event.orders:,} orders", style="dim", highlight=False)


def rich_table(table: ResultTable) -> Table:
    """Return a table for the terminal."""
    printed = Table(*table.head)
    for row in table.rows:
        printed.add_row(*row)
    return printed


def main() -> int:
    """Run the benchmark, write the JSON, print the tables."""
    options, console = parse_options(), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    log.configure("bench", logging.WARNING)
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # A client has two connections, and the gateway inherits the limit for its own ends of them.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard_limit), hard_limit))
    update = options.update and options.json.exists()
    previous = msgspec.json.decode(options.json.read_bytes(), type=Record) if update else None
    with open_postgres() as server:
        record = uvloop.run(run(server, options, console, previous))
    if COST in options.parts:
        with open_postgres(preload=order_cost.EXTENSION) as server:
            record = msgspec.structs.replace(record, cost=uvloop.run(order_cost.measure_order_cost(server)))
        if previous is not None:
            record = mark_remeasured(record, COST, clock.now().date().isoformat(), order_cost.calibration_loop_us())
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    for table in result_tables(record):
        console.print(f"\n[bold]{table.title}[/]", highlight=False)
        console.print(rich_table(table))
    machine = record.machine
    durable = ", ".join(f"{name} {value}" for name, value in record.durable.items())
    console.print(
        f"{machine.cores} cores, {machine.cpu}; {machine.kernel}; PostgreSQL {machine.postgresql};"
        f" Python {machine.python} ({machine.build}; calibration loop {record.loop_us:.0f} µs); {durable};"
        f" load average before the first run {record.load_average}"
    )
    if record.missing_receipts:
        console.print(f"[bold red]{record.missing_receipts:,} receipts of completed orders did not arrive[/]")
    return 1 if record.violations or record.missing_receipts else 0


if __name__ == "__main__":
    sys.exit(main())
