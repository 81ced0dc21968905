"""`python -m bench.metrics`: what a metric costs, from the gateway to the column store; prints tables, writes JSON."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from autogrocery.kit.process import clock, log
from bench import order_cost
from bench.metrics.chain import measure_paced, measure_saturated, measure_sending
from bench.metrics.record import MetricsRecord
from bench.metrics.stages import measure_stages
from bench.metrics.store import measure_store
from bench.metrics.tables import metrics_tables
from bench.proc import describe

SUBSCRIBERS = (0, 1, 4, 16)
RATES = (1_000.0, 5_000.0, 10_000.0)
WIDTH = 120


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="bench.metrics", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of each rate")
    parser.add_argument("--saturate", type=int, default=500_000, help="metrics of the run without a rate")
    parser.add_argument(
        "--facts", type=lambda text: [int(part) for part in text.split(",")], default=[10_000_000], metavar="N,…"
    )
    parser.add_argument("--json", type=Path, default=Path("out/bench-metrics.json"))
    return parser.parse_args()


async def run(options: argparse.Namespace, console: Console) -> MetricsRecord:
    """Measure everything, one thing after the other."""
    console.print("[bold]steps alone[/]")
    stages = await measure_stages()
    console.print("[bold]packing and sending[/]")
    sending = await measure_sending(SUBSCRIBERS, options.seconds)
    console.print("[bold]the whole chain at a rate[/]")
    paced = await measure_paced(RATES, options.seconds)
    console.print("[bold]the whole chain as fast as it goes[/]")
    saturated = await measure_saturated(options.saturate)
    stores = []
    for facts in options.facts:
        console.print(f"[bold]a store of {facts:,} facts[/]")
        stores.append(await measure_store(facts))
    return MetricsRecord(
        at=clock.now().date().isoformat(),
        machine=describe(""),
        loop_us=round(order_cost.calibration_loop_us(), 1),
        stages=stages,
        sending=sending,
        paced=paced,
        saturated=saturated,
        stores=stores,
    )


def main() -> int:
    """Run the benchmark; exit code 1 if a metric that was sent was not stored."""
    log.configure("bench", logging.ERROR)
    options, console = parse_options(), Console(width=WIDTH)
    record = uvloop.run(run(options, console))
    for result in metrics_tables(record):
        table = Table(*result.head, title=result.title, title_justify="left")
        for row in result.rows:
            table.add_row(*row)
        console.print(table)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    lost = sum(one.sent - one.stored for one in record.paced) + record.saturated.sent - record.saturated.stored
    if lost:
        console.print(f"[bold red]{lost} metrics were sent and not stored[/]")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
