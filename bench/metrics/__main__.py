"""`python -m bench.metrics`: measure what a metric costs, print tables, write JSON.

Exit code 1 if a fact was lost.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from rich.console import Console

from autogrocery.kit.process import clock, log
from autogrocery.lab.ports import free_ports
from bench import order_cost
from bench.__main__ import WIDTH, numbers, rich_table
from bench.metrics import chain
from bench.metrics.gateway import measure_audiences
from bench.metrics.publisher import open_publishing
from bench.metrics.record import MetricsRecord, Sending
from bench.metrics.storage import Storage
from bench.metrics.subscribers import open_subscribers
from bench.metrics.tables import metrics_tables
from bench.proc import describe
from bench.processes import open_module, read_line

SUBSCRIBERS: Final = (0, 1, 4, 16)
RATES: Final = (1_000, 5_000, 10_000)
SENT: Final = 50_000
SEND_RATE: Final = 20_000.0
STORAGE_S: Final = 7_200.0
COSTS_S: Final = 120.0


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="bench.metrics", description="Measure what a metric costs.")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the chain at saturation")
    parser.add_argument("--pace-seconds", type=float, default=4.0, help="of each even pace")
    parser.add_argument("--facts", type=numbers, default=[10_000_000], help="generated facts, separated by commas")
    parser.add_argument("--gateway-seconds", type=float, default=0.0, help="of each run of a gateway; 0: none")
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where generated facts are kept meanwhile")
    parser.add_argument("--json", type=Path, default=Path("out/bench-metrics.json"))
    return parser.parse_args()


async def measure_sending(subscribers: int) -> Sending:
    """Publish SENT metrics at SEND_RATE to some subscribers."""
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        publishing = await stack.enter_async_context(open_publishing(f"tcp://127.0.0.1:{port}"))
        if subscribers:
            await stack.enter_async_context(open_subscribers(publishing.address, subscribers))
        await publishing.send(chain.CHUNK)
        sent = await publishing.send(SENT, SEND_RATE)
    thread_us, cpu_us = (spent_s / sent.sent * 1e6 for spent_s in (sent.thread_s, sent.cpu_s))
    return Sending(subscribers, round(thread_us, 2), round(cpu_us, 2), round(sent.latency.p99 * 1e3, 1))


async def costs() -> dict[str, float]:
    """Return the CPU µs of a metric by step."""
    async with open_module("bench.metrics.costs", quiet=True) as process:
        return msgspec.json.decode(await read_line(process, COSTS_S), type=dict[str, float])


async def storage(facts: int, directory: str) -> Storage:
    """Return the figures of generated facts."""
    async with open_module("bench.metrics.storage", str(facts), directory, quiet=True) as process:
        return msgspec.json.decode(await read_line(process, STORAGE_S), type=Storage)


async def run(options: argparse.Namespace, console: Console) -> MetricsRecord:
    """Run all parts, one after the other."""
    load_average, loop_us = round(os.getloadavg()[0], 1), round(order_cost.calibration_loop_us(), 1)
    console.print("[bold]steps of a metric, each alone[/]")
    by_step = await costs()
    console.print("[bold]a publisher with subscribers[/]")
    sending = [await measure_sending(count) for count in SUBSCRIBERS]
    console.print("[bold]publisher and engine, at saturation and at even paces[/]")
    with tempfile.TemporaryDirectory(prefix="agm-") as home:
        saturation = await chain.measure_saturation(Path(home), options.seconds)
    paces = []
    for rate in RATES:
        with tempfile.TemporaryDirectory(prefix="agm-") as home:
            paces.append(await chain.measure_pace(Path(home), rate, options.pace_seconds))
    stored = []
    for facts in options.facts:
        console.print(f"[bold]{facts:,} generated facts[/]")
        stored.append(await storage(facts, options.directory))
    audiences = []
    if options.gateway_seconds:
        console.print("[bold]a gateway with subscribers that are many, slow, stopped, late[/]")
        audiences = await measure_audiences(options.gateway_seconds)
    return MetricsRecord(
        at=clock.now().date().isoformat(),
        machine=describe(""),
        load_average=load_average,
        loop_us=loop_us,
        costs=by_step,
        sending=sending,
        saturation=saturation,
        paces=paces,
        storage=stored,
        audiences=audiences,
    )


def main() -> int:
    """Measure, write the JSON, print the tables."""
    options, console = parse_options(), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    log.configure("bench", logging.WARNING)
    record = uvloop.run(run(options, console))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    for table in metrics_tables(record):
        console.print(f"\n[bold]{table.title}[/]", highlight=False)
        console.print(rich_table(table))
    lost = sum(one.missing_facts or 0 for one in record.audiences)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
