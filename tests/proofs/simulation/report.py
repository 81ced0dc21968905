"""The result of runs: the figures of many, and the description of one that failed."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from tests.proofs.simulation.checks import check_run
from tests.proofs.simulation.probes import ALL, probes_hit
from tests.proofs.simulation.world import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.proofs.simulation.omitted_rules import Rule
    from tests.proofs.simulation.world import World

TAIL = 40


class Failure(Struct, frozen=True):
    """A seed with violations, and their description."""

    seed: int
    found: list[str]
    description: str


class Figures(Struct):
    """Totals of many runs."""

    runs: int = 0
    events: int = 0
    virtual_s: float = 0.0
    acknowledged: int = 0
    crashes: int = 0
    orders: Counter[str] = Counter()
    probes: Counter[str] = Counter()
    failures: list[Failure] = []

    @property
    def missed(self) -> list[str]:
        """The probes that no run has met."""
        return sorted(ALL - self.probes.keys())


def run_all(seeds: Iterable[int], figures: Figures, omitted: Rule | None = None) -> Iterator[Figures]:
    """Run one seed after the other into `figures`, which is yielded after each."""
    for seed in seeds:
        world = simulate(seed, omitted)
        found = check_run(world)
        figures.runs += 1
        figures.events += len(world.trace.events)
        figures.virtual_s += world.loop.time()
        figures.acknowledged += len(world.acknowledged)
        figures.crashes += len(world.plan.crashes)
        figures.orders.update(order["status"] for order in world.memory.tables.orders.values())
        figures.probes.update(probes_hit(world))
        if found:
            figures.failures.append(Failure(seed, found, description(world, found, omitted)))
        yield figures


def print_line(line: object) -> None:
    """Print a line and flush."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def description(world: World, found: list[str], omitted: Rule | None = None) -> str:
    """Return the violations, the end of the trace, and the command that replays the run."""
    tail = [event for event in world.trace.events if event.order][-TAIL:]
    replay = f"python -m tests.proofs.simulation --seed {world.plan.seed} --trace" + (
        f" --omit {omitted.name}" if omitted else ""
    )
    return "\n".join(
        [
            f"seed {world.plan.seed}:",
            *found,
            f"... the last {len(tail)} events about orders (one of them whole: add --order o1 below):",
            *map(str, tail),
            f"replay: {replay}",
        ]
    )


def table(figures: Figures, took_s: float) -> str:
    """Return the summary as lines of text."""
    orders = ", ".join(f"{count} {status}" for status, count in sorted(figures.orders.items()))
    per_run_ms = took_s / max(figures.runs, 1) * 1e3
    lines = [
        f"runs        {figures.runs} ({len(figures.failures)} failed), {took_s:.1f} s, {per_run_ms:.1f} ms a run",
        f"virtual     {figures.virtual_s / 3600:.1f} hours, {figures.events} events, {figures.crashes} crashes planned",
        f"orders      {orders}; {figures.acknowledged} acknowledgements checked against the end",
        "probes      runs that met it",
        *(
            f"  {figures.probes[name]:>8}  {name}"
            for name in sorted(ALL, key=lambda name: (figures.probes[name], name))
        ),
    ]
    return "\n".join(lines)
