"""What in a role costs: the functions it spends its time in under load, as a table, in µs for each order.

`python -m bench.profile` runs the gateway, or another role with `--whole --role`, under cProfile, which makes calls dearer than they are: trust the order, not the
sum. `--perf` samples it with Linux's perf instead, which slows nothing and sees C, but knows libraries and no Python names.
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
from bench.job import BEGAN, ENDED, Job, Line
from bench.measure import baskets_of, drive
from bench.proc import threads_s
from bench.stage import ROOT, open_postgres, open_stage
from bench.whole import open_network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WRITTEN_S = 20.0
WARM_UP_S = 2.0
Rows = list[tuple[str, ...]]


def short(place: tuple[str, int, str]) -> str:
    """Return where a function stands, without what comes before the package."""
    file, line, name = place
    if file == "~":
        return name
    parts = Path(file).parts
    start = max(
        (parts.index(root) + 1 for root in ("src", "site-packages") if root in parts), default=max(0, len(parts) - 2)
    )
    return f"{'/'.join(parts[start:])}:{line} {name}"


def functions(file: Path, orders: int, top: int, by: str) -> Rows:
    """Return the functions that cost most, by their own time or with all they call."""
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    total_s = sum(own_s for _, _, own_s, _, _ in stats.values())
    ranked = sorted(stats.items(), key=lambda item: item[1][2] if by == "own" else item[1][3], reverse=True)
    return [
        (
            f"{own_s / total_s:.1%}",
            f"{own_s / orders * 1e6:.1f}",
            f"{cum_s / orders * 1e6:.1f}",
            f"{calls / orders:.2f}",
            short(place),
        )
        for place, (_, calls, own_s, cum_s, _) in ranked[:top]
    ]


def libraries(pid: int, seconds: float, file: Path) -> subprocess.Popen[bytes]:
    """Begin to sample a process with perf."""
    program = ["perf", "record", "-q", "-F", "999", "-g", "-p", str(pid), "-o", str(file), "--", "sleep", str(seconds)]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - a fixed program


def report(file: Path, top: int) -> str:
    """Return perf's own tables: by library and thread, then by symbol."""
    told = []
    for keys in ("comm,dso", "dso,symbol"):
        program = ["perf", "report", "-i", str(file), "--stdio", "-q", "-g", "none", "--no-children", "--sort", keys]
        lines = subprocess.run(program, capture_output=True, text=True, check=False).stdout.splitlines()  # noqa: S603
        told += [f"by {keys}", *[line for line in lines if line.strip()][:top], ""]
    return "\n".join(told)


class Subject(Struct, frozen=True):
    """What is loaded, and which of its processes is looked into."""

    job: Job
    pids: dict[str, int]
    pid: int


@asynccontextmanager
async def open_subject(asked: argparse.Namespace, file: Path) -> AsyncIterator[Subject]:
    """Open a gateway between featherweight peers, or with `--whole` the whole network, with one role under the profiler."""
    profiled = ("-m", "bench.profiled", asked.role, str(file))
    shape: dict[str, Any] = {"connections": asked.connections, "seconds": asked.seconds, "warm_up_s": WARM_UP_S}
    if asked.whole:
        programs = {} if asked.perf else {asked.role: (sys.executable, *profiled)}
        async with open_network(asked.connections, {"PYTHONPATH": str(ROOT)}, programs) as network:
            job = Job(doors=network.doors, tokens=network.tokens, baskets=network.baskets, delivers=False, **shape)
            yield Subject(job, network.place.pids, network.place.pids[asked.role])
        return
    program = ("-m", "autogrocery", "gateway") if asked.perf else profiled
    with open_postgres() as server:
        async with open_stage(
            server, connections=asked.connections, unary_only=asked.unary_only, program=program
        ) as stage:
            baskets = baskets_of(asked.lines)
            job = Job(doors=stage.doors, tokens=stage.tokens, baskets=baskets, webhook_key=stage.keys.webhooks, **shape)
            yield Subject(job, stage.pids, stage.pids["gateway-0"])


async def profile(asked: argparse.Namespace, console: Console) -> None:
    """Load, and print what the role spent."""
    home = Path(tempfile.mkdtemp(prefix="agp-"))
    file = home / "profile"
    threads: list[dict[str, float]] = []
    sampling: list[subprocess.Popen[bytes]] = []
    try:
        async with open_subject(asked, file) as subject:

            def watch(line: Line) -> None:
                if line.event in {BEGAN, ENDED}:
                    threads.append(threads_s(subject.pid))
                    if not asked.perf:
                        os.kill(subject.pid, signal.SIGUSR1 if line.event == BEGAN else signal.SIGUSR2)
                    elif line.event == BEGAN:
                        sampling.append(libraries(subject.pid, asked.seconds, file))

            tally, cost_s = await drive(subject.job, subject.pids, watch)
            await asyncio.to_thread(_written, file, sampling)
        every = max(1, tally.orders)
        told = ", ".join(f"{name} {spent / every * 1e6:.0f}" for name, spent in cost_s.items())
        console.print(f"{tally.orders / tally.took_s:.0f} orders/s; CPU µs an order: {told}")
        spent = {name: s - threads[0].get(name, 0.0) for name, s in threads[1].items()}
        told = ", ".join(f"{name} {s:.2f}" for name, s in sorted(spent.items()) if s)
        console.print(f"CPU s of {asked.role} by thread: {told}")
        tell(asked, file, every, console)
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def functions_of_gateway(connections: int, seconds: float, lines: int, top: int) -> Rows:
    """Return the functions on which the gateway spends most time of its own, under load."""
    shape = {"connections": connections, "seconds": seconds, "lines": lines, "role": "gateway"}
    asked = argparse.Namespace(**shape, whole=False, perf=False, unary_only=False)
    with tempfile.TemporaryDirectory(prefix="agp-") as home:
        file = Path(home) / "profile"
        async with open_subject(asked, file) as subject:

            def watch(line: Line) -> None:
                if line.event in {BEGAN, ENDED}:
                    os.kill(subject.pid, signal.SIGUSR1 if line.event == BEGAN else signal.SIGUSR2)

            tally, _ = await drive(subject.job, subject.pids, watch)
            await asyncio.to_thread(_written, file, [])
        return functions(file, max(1, tally.orders), top, "own")


def tell(asked: argparse.Namespace, file: Path, orders: int, console: Console) -> None:
    """Print what was found."""
    if asked.perf:
        console.print(report(file, asked.top), highlight=False, soft_wrap=True)
        return
    for by in ("own", "with all it calls"):
        table = Table(
            "own share", "own µs", "µs with callees", "calls, resumptions too", "function", title=f"by time, {by}"
        )
        for row in functions(file, orders, asked.top, by):
            table.add_row(*row)
        console.print(table)
    if asked.out:
        shutil.copyfile(file, asked.out)


def _written(file: Path, sampling: list[subprocess.Popen[bytes]]) -> None:
    for process in sampling:
        process.wait(WRITTEN_S)
    give_up_at = time.monotonic() + WRITTEN_S
    while not file.exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)


def main() -> int:
    """Profile and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--lines", type=int, default=2)
    parser.add_argument("--top", type=int, default=45)
    parser.add_argument("--perf", action="store_true")
    parser.add_argument("--unary-only", action="store_true")
    parser.add_argument("--whole", action="store_true", help="the whole network instead of featherweight peers")
    parser.add_argument("--role", default="gateway", choices=("gateway", "inventory", "pricing", "robots", "analytics"))
    parser.add_argument("--out", type=Path, help="keep cProfile's own file")
    asked = parser.parse_args()
    log.configure("profile", logging.WARNING)
    if asked.role != "gateway" and not asked.whole:
        parser.error("another role than the gateway is there with --whole only")
    uvloop.run(profile(asked, Console(width=180)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
