"""`python -m bench`: run, show, record. Exit code 1 if an audit found a violation."""

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
from bench import guard, suite
from bench.blocks import blocks
from bench.measure import baskets_of
from bench.proc import describe
from bench.profile import functions_of_gateway
from bench.record import Record
from bench.stage import check_durable, open_postgres
from bench.statement import shares
from bench.tables import Sheet, sheets
from bench.without import GAINS

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.job import Line
    from bench.measure import Watch

AS_IT_IS: Final = "as it is"
FILES: Final = 16_384
PROFILED: Final = 25
GROWN: Final = [6_250, 62_500, 625_000]  # the last makes 5 M rows
WIDTH: Final = 160  # of what is no terminal


def numbers(text: str) -> list[int]:
    """Read a comma list."""
    return [int(part) for part in text.split(",") if part]


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(
        prog="bench", description="What an order costs, and what PostgreSQL alone would do."
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each run")
    parser.add_argument("--connections", type=numbers, default=[1, 8, 64])
    parser.add_argument("--gateways", type=numbers, default=[1])
    parser.add_argument(
        "--lines", type=numbers, default=[2], help="of an order; the first counts where there is one run"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of pgbench and ours in turn")
    parser.add_argument("--duel-connections", type=int, default=64)
    parser.add_argument("--grown", type=numbers, default=GROWN, help="finished orders in the tables, eight rows each")
    parser.add_argument("--whole-connections", type=numbers, default=[64])
    parser.add_argument("--unary", action="store_true", help="the duel once more with peers that know unary calls only")
    parser.add_argument(
        "--parts", type=lambda text: text.split(","), default=[*PARTS, COST], help=f"of {', '.join([*PARTS, COST])}"
    )
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="a gateway's setting"
    )
    parser.add_argument(
        "--without",
        type=lambda text: list(GAINS) if text == "all" else text.split(","),
        default=[],
        metavar="GAIN,…",
        help=f"one more run without each of these, or all: {', '.join(GAINS)}",
    )
    parser.add_argument("--update", action="store_true", help="keep what the JSON file has of other parts")
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"))
    asked = parser.parse_args()
    if unknown := set(asked.parts) - {*PARTS, COST} | set(asked.without) - {*GAINS}:
        parser.error(f"no such part or gain: {', '.join(sorted(unknown))}")
    return asked


async def run(server: EmbeddedPostgres, asked: argparse.Namespace, console: Console, kept: Record | None) -> Record:
    """Make the runs, part by part; of what was measured before, other parts are `kept`."""

    def say(what: str) -> Watch:
        console.print(f"[bold]{what}[/]")
        return lambda line: show(line, console)

    given = dict(one.split("=", 1) for one in asked.settings)
    bench = suite.Bench(server, asked.seconds, given, say)
    today, loop_us = clock.now().date().isoformat(), round(guard.calibration_us(), 1)
    record = kept or Record(
        at=today,
        machine=describe(server.binaries.version),
        durable=await check_durable(server.dsn()),
        load_average=round(os.getloadavg()[0], 1),
        loop_us=loop_us,
        seconds=asked.seconds,
        settings=given,
    )
    for part in [part for part in asked.parts if part in PARTS]:
        record = await PARTS[part](bench, record, asked)
        if kept is not None:
            record = measured_anew(record, part, today, loop_us)
    return record


def measured_anew(record: Record, part: str, today: str, loop_us: float) -> Record:
    """Note in the record that a part is younger than the rest."""
    return msgspec.structs.replace(record, again={**record.again, part: f"{today} ({loop_us:.0f} µs for the loop)"})


async def closed(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run closed loops, for each number of gateways and connections."""
    cases = [
        await suite.closed(bench, connections, gateways, asked.lines[0])
        for gateways in asked.gateways
        for connections in asked.connections
    ]
    return msgspec.structs.replace(record, closed=cases)


async def duel(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run pgbench and ours in turn, for each number of lines and each form of the peers' calls."""
    duels = [
        await suite.duel(bench, asked.duel_connections, lines, asked.rounds, unary_only=unary_only)
        for lines in asked.lines
        for unary_only in ((False, True) if asked.unary else (False,))
    ]
    return msgspec.structs.replace(record, duels=duels)


async def whole(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run the whole network."""
    return msgspec.structs.replace(record, whole=[await suite.whole(bench, count) for count in asked.whole_connections])


async def open_loop(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run at half the peak and at three times the peak; the peak is the closed loops', or found first."""
    lines = asked.lines[0]
    if not record.peak:
        record = msgspec.structs.replace(record, closed=[await suite.closed(bench, max(asked.connections), 1, lines)])
    half = await suite.open_loop(bench, record.peak / 2.0, suite.HALF_CONNECTIONS, lines)
    over = await suite.open_loop(bench, record.peak * suite.OVERLOAD, suite.OVERLOAD_CONNECTIONS, lines)
    return msgspec.structs.replace(record, half=half, overload=over)


async def logins(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run with and without devices that log in."""
    return msgspec.structs.replace(record, logins=await suite.logins(bench, asked.lines[0]))


async def switched(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run as it is, then without one gain at a time: what each is worth."""
    cases = {
        one or AS_IT_IS: await suite.closed(bench, asked.duel_connections, 1, asked.lines[0], without=one)
        for one in (["", *asked.without] if asked.without else [])
    }
    return msgspec.structs.replace(record, switched=cases)


async def grown(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Run with ten and a hundred times the orders in the tables."""
    found = [await suite.grown(bench, orders, asked.duel_connections, asked.lines[0]) for orders in asked.grown]
    return msgspec.structs.replace(record, grown=found)


async def parts_of_an_order(bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Measure what an order's building blocks cost alone, and where PostgreSQL's time goes."""
    at_once, lines = asked.duel_connections, asked.lines[0]
    bench.say(f"building blocks, {at_once} at once")
    found = await blocks(bench.server, at_once, baskets_of(lines)[0])
    bench.say(f"the statement for many, {at_once} orders a batch")
    return msgspec.structs.replace(record, blocks=found, shares=await shares(bench.server, at_once, lines))


async def profiled(_bench: suite.Bench, record: Record, asked: argparse.Namespace) -> Record:
    """Look where the gateway's time goes."""
    rows = await functions_of_gateway(asked.duel_connections, asked.seconds, asked.lines[0], PROFILED)
    return msgspec.structs.replace(record, profile=rows)


PARTS: Final = {
    "closed": closed,
    "duel": duel,
    "whole": whole,
    "open": open_loop,
    "logins": logins,
    "switched": switched,
    "grown": grown,
    "blocks": parts_of_an_order,
    "profile": profiled,
}
COST: Final = "cost"  # needs a server of its own


def show(line: Line, console: Console) -> None:
    """Tell how far a run is."""
    if line.event == "orders":
        console.print(f"  {line.orders:,} orders", style="dim", highlight=False)


def table_of(sheet: Sheet) -> Table:
    """Return a sheet for the screen."""
    table = Table(*sheet.head)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def main() -> int:
    """Bench, print, write."""
    asked, console = arguments(), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    log.configure("bench", logging.WARNING)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))  # two sockets a shopper, at both ends
    kept = msgspec.json.decode(asked.json.read_bytes(), type=Record) if asked.update else None
    with open_postgres() as server:
        record = uvloop.run(run(server, asked, console, kept))
    if COST in asked.parts:
        with open_postgres(preload=guard.EXTENSION) as server:
            record = msgspec.structs.replace(record, cost=uvloop.run(guard.cost(server)))
        if kept is not None:
            record = measured_anew(record, COST, clock.now().date().isoformat(), guard.calibration_us())
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    for sheet in sheets(record):
        console.print(f"\n[bold]{sheet.title}[/]", highlight=False)
        console.print(table_of(sheet))
    machine = record.machine
    console.print(
        f"{machine.cores} cores, {machine.cpu}; {machine.kernel}; PostgreSQL {machine.postgresql}; Python {machine.python} (loop {record.loop_us:.0f} µs);"
        f" {', '.join(f'{name} {value}' for name, value in record.durable.items())}; load average before {record.load_average}"
    )
    return 1 if record.violations else 0


if __name__ == "__main__":
    sys.exit(main())
