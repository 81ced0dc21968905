"""Profiles a role under load: its most expensive functions, in µs of an order.

`python -m bench.profile` runs the gateway, or with `--whole --role` another role, under cProfile, which adds
overhead to each call: the ranking is valid, the sum is not. `--perf` samples with perf instead, which adds little
overhead and shows C libraries, but no Python functions.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from autogrocery.kit.process import log
from bench.environment import open_environment, open_postgres
from bench.job import BEGAN, ENDED, Job, LoadEvent
from bench.measure import cpu_of_order_us, make_baskets, run_load
from bench.network import open_network
from bench.proc import threads_s
from bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILE_WAIT_S = 20.0
WARM_UP_S = 2.0
OWN, CUMULATIVE = "own time", "time with callees"
Rows = list[tuple[str, ...]]


def location(function: tuple[str, int, str]) -> str:
    """Return file, line and name of a function, the file from its package on."""
    file, line, name = function
    if file == "~":
        return name
    parts = Path(file).parts
    start = max(
        (parts.index(root) + 1 for root in ("src", "site-packages") if root in parts), default=max(0, len(parts) - 2)
    )
    return f"{'/'.join(parts[start:])}:{line} {name}"


def functions(file: Path, orders: int, top: int, by: str) -> Rows:
    """Return rows of the `top` functions, ranked by OWN or CUMULATIVE time."""
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    total_s = sum(own_s for _, _, own_s, _, _ in stats.values())
    ranked = sorted(stats.items(), key=lambda item: item[1][2] if by == OWN else item[1][3], reverse=True)
    return [
        (
            f"{own_s / total_s:.1%}",
            f"{own_s / orders * 1e6:.1f}",
            f"{cum_s / orders * 1e6:.1f}",
            f"{calls / orders:.2f}",
            location(function),
        )
        for function, (_, calls, own_s, cum_s, _) in ranked[:top]
    ]


def start_perf(pid: int, seconds: float, file: Path) -> subprocess.Popen[bytes]:
    """Start to sample a process with perf for `seconds`, into `file`."""
    program = ["perf", "record", "-q", "-F", "999", "-g", "-p", str(pid), "-o", str(file), "--", "sleep", str(seconds)]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - fixed argv


def perf_report(file: Path, top: int) -> str:
    """Return perf's tables: by thread and library, then by symbol."""
    report = []
    for keys in ("comm,dso", "dso,symbol"):
        program = [
            "perf",
            "perf_report",
            "-i",
            str(file),
            "--stdio",
            "-q",
            "-g",
            "none",
            "--no-children",
            "--sort",
            keys,
        ]
        lines = subprocess.run(program, capture_output=True, text=True, check=False).stdout.splitlines()  # noqa: S603
        report += [f"by {keys}", *[line for line in lines if line.strip()][:top], ""]
    return "\n".join(report)


class ProfileTarget(Struct, frozen=True):
    """The job of the load generator, all processes by name, and the pid of the profiled one."""

    job: Job
    pids: dict[str, int]
    pid: int


@asynccontextmanager
async def open_target(options: argparse.Namespace, file: Path) -> AsyncIterator[ProfileTarget]:
    """Run a gateway with minimal peers, or with `--whole` the whole network, with one role under the profiler."""
    profiled = ("-m", "bench.profiled", options.role, str(file))
    shape: dict[str, Any] = {"connections": options.connections, "seconds": options.seconds, "warm_up_s": WARM_UP_S}
    if options.whole:
        programs = {} if options.perf else {options.role: (sys.executable, *profiled)}
        async with open_network(options.connections, {"PYTHONPATH": str(ROOT)}, programs) as network:
            job = Job(
                ports=network.ports, tokens=network.tokens, baskets=network.baskets, sends_webhooks=False, **shape
            )
            yield ProfileTarget(job, network.target.pids, network.target.pids[options.role])
        return
    program = ("-m", "autogrocery", "gateway") if options.perf else profiled
    with open_postgres() as server:
        async with open_environment(server, connections=options.connections, program=program) as environment:
            baskets = make_baskets(options.lines)
            key = environment.keys.webhooks
            job = Job(ports=environment.ports, tokens=environment.tokens, baskets=baskets, webhook_key=key, **shape)
            yield ProfileTarget(job, environment.pids, environment.pids["gateway-0"])


async def profile(options: argparse.Namespace, console: Console) -> None:
    """Run the load, and print the role's CPU by thread and by function."""
    home = Path(tempfile.mkdtemp(prefix="agp-"))
    file = home / "profile"
    threads: list[dict[str, float]] = []
    sampling: list[subprocess.Popen[bytes]] = []
    try:
        async with open_target(options, file) as target:

            def on_event(event: LoadEvent) -> None:
                if event.kind in {BEGAN, ENDED}:
                    threads.append(threads_s(target.pid))
                    if not options.perf:
                        os.kill(target.pid, signal.SIGUSR1 if event.kind == BEGAN else signal.SIGUSR2)
                    elif event.kind == BEGAN:
                        sampling.append(start_perf(target.pid, options.seconds, file))

            load = await run_load(target.job, target.pids, on_event)
            await asyncio.to_thread(_wait_for_file, file, sampling)
        tally, orders = load.tally, max(1, load.tally.orders)
        by_process = ", ".join(f"{name} {us:.0f}" for name, us in cpu_of_order_us(load, load.ended).items())
        console.print(f"{tally.orders / tally.took_s:.0f} orders/s; CPU µs an order: {by_process}")
        spent = {name: s - threads[0].get(name, 0.0) for name, s in threads[1].items()}
        by_thread = ", ".join(f"{name} {s:.2f}" for name, s in sorted(spent.items()) if s)
        console.print(f"CPU s of {options.role} by thread: {by_thread}")
        print_functions(options, file, orders, console)
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def functions_of_gateway(connections: int, seconds: float, lines: int, top: int) -> Rows:
    """Return rows of the gateway's `top` functions by own time, under load."""
    shape = {"connections": connections, "seconds": seconds, "lines": lines, "role": "gateway"}
    options = argparse.Namespace(**shape, whole=False, perf=False)
    with tempfile.TemporaryDirectory(prefix="agp-") as home:
        file = Path(home) / "profile"
        async with open_target(options, file) as target:

            def on_event(event: LoadEvent) -> None:
                if event.kind in {BEGAN, ENDED}:
                    os.kill(target.pid, signal.SIGUSR1 if event.kind == BEGAN else signal.SIGUSR2)

            load = await run_load(target.job, target.pids, on_event)
            await asyncio.to_thread(_wait_for_file, file, [])
        return functions(file, max(1, load.tally.orders), top, OWN)


def print_functions(options: argparse.Namespace, file: Path, orders: int, console: Console) -> None:
    """Print the tables of perf or cProfile; copy cProfile's file to `--out`."""
    if options.perf:
        console.print(perf_report(file, options.top), highlight=False, soft_wrap=True)
        return
    for by in (OWN, CUMULATIVE):
        table = Table(
            "own share", "own µs", "µs with callees", "calls and resumptions", "function", title=f"functions by {by}"
        )
        for row in functions(file, orders, options.top, by):
            table.add_row(*row)
        console.print(table)
    if options.out:
        shutil.copyfile(file, options.out)


def _wait_for_file(file: Path, sampling: list[subprocess.Popen[bytes]]) -> None:
    for process in sampling:
        process.wait(FILE_WAIT_S)
    give_up_at = time.monotonic() + FILE_WAIT_S
    while not file.exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)


def main() -> int:
    """Parse the command line and profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--lines", type=int, default=3)
    parser.add_argument("--top", type=int, default=45)
    parser.add_argument("--perf", action="store_true")
    parser.add_argument(
        "--whole", action="store_true", help="the whole network instead of a gateway with minimal peers"
    )
    parser.add_argument("--role", default="gateway", choices=("gateway", "inventory", "pricing", "robots", "analytics"))
    parser.add_argument("--out", type=Path, help="copy cProfile's file to this path")
    options = parser.parse_args()
    log.configure("profile", logging.WARNING)
    if options.role != "gateway" and not options.whole:
        parser.error("--role needs --whole, except for the gateway")
    uvloop.run(profile(options, Console(width=180)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
