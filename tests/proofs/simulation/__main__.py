"""Run simulations: one seed with its trace, or thousands with a summary."""

from __future__ import annotations

import argparse
import sys
import time

from tests.harness.figures import tell
from tests.proofs.simulation.drops import Drop
from tests.proofs.simulation.judge import judge
from tests.proofs.simulation.report import Figures, run_all, say_line, table
from tests.proofs.simulation.world import simulate

SAY_EVERY = 250


def main() -> int:
    """Return 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    parser.add_argument("--order", help="with --trace: only this order's events, as in o3")
    parser.add_argument("--seeds", type=int, default=300, help="how many to run (default: 300)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--drop", choices=[drop.name for drop in Drop], help="leave a rule out of the ports")
    parser.add_argument("--until-found", action="store_true", help="stop at the first failure")
    args = parser.parse_args()
    drop = Drop[args.drop] if args.drop else None
    if args.seed is not None:
        return _one(args.seed, drop, order=args.order, trace=args.trace)
    return _many(range(args.first, args.first + args.seeds), drop, until_found=args.until_found)


def _one(seed: int, drop: Drop | None, *, order: str | None, trace: bool) -> int:
    world = simulate(seed, drop)
    if trace:
        for event in world.journal.events:
            if order in {None, event.order}:
                say_line(event)
    found = judge(world)
    say_line("\n".join(found) or f"seed {seed}: nothing found in {len(world.journal.events)} events")
    return int(bool(found))


def _many(seeds: range, drop: Drop | None, *, until_found: bool) -> int:
    figures, started, failed = Figures(), time.perf_counter(), 0
    for _ in run_all(seeds, figures, drop):
        for failure in figures.failures[failed:]:
            say_line(failure.story)
        failed = len(figures.failures)
        if until_found and failed:
            return 1
        if figures.runs % SAY_EVERY == 0:
            _say(f"{figures.runs} of {len(seeds)} runs, {failed} failed, {time.perf_counter() - started:.0f} s")
    say_line(table(figures, time.perf_counter() - started))
    tell(
        seeds=figures.runs,
        orders=figures.orders.total(),
        crashes=figures.crashes,
        answers=figures.told,
        probes_missed=len(figures.missed),
        violations=failed,
    )
    return int(bool(failed))


def _say(line: str) -> None:
    """Show progress: in place on a terminal, as lines elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}\033[K")
    else:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
