"""Run simulations: one seed with its trace, or many seeds with a summary."""

from __future__ import annotations

import argparse
import sys
import time

from tests.harness.figures import record
from tests.proofs.simulation.checks import check_run
from tests.proofs.simulation.omitted_rules import Rule
from tests.proofs.simulation.report import Figures, print_line, run_all, table
from tests.proofs.simulation.world import simulate

PROGRESS_EVERY = 250


def main() -> int:
    """Return 0 if no check failed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    parser.add_argument("--order", help="with --trace: only this order's events, as in o3")
    parser.add_argument("--seeds", type=int, default=300, help="how many to run (default: 300)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument(
        "--omit", dest="omitted", choices=[omitted.name for omitted in Rule], help="omit this rule in the memory ports"
    )
    parser.add_argument("--until-found", action="store_true", help="stop at the first failure")
    args = parser.parse_args()
    omitted = Rule[args.omitted] if args.omitted else None
    if args.seed is not None:
        return _one(args.seed, omitted, order=args.order, trace=args.trace)
    return _many(range(args.first, args.first + args.seeds), omitted, until_found=args.until_found)


def _one(seed: int, omitted: Rule | None, *, order: str | None, trace: bool) -> int:
    world = simulate(seed, omitted)
    if trace:
        for event in world.trace.events:
            if order in {None, event.order}:
                print_line(event)
    found = check_run(world)
    print_line("\n".join(found) or f"seed {seed}: nothing found in {len(world.trace.events)} events")
    return int(bool(found))


def _many(seeds: range, omitted: Rule | None, *, until_found: bool) -> int:
    figures, started, failed = Figures(), time.perf_counter(), 0
    for _ in run_all(seeds, figures, omitted):
        for failure in figures.failures[failed:]:
            print_line(failure.description)
        failed = len(figures.failures)
        if until_found and failed:
            return 1
        if figures.runs % PROGRESS_EVERY == 0:
            _show_progress(
                f"{figures.runs} of {len(seeds)} runs, {failed} failed, {time.perf_counter() - started:.0f} s"
            )
    print_line(table(figures, time.perf_counter() - started))
    record(
        seeds=figures.runs,
        orders=figures.orders.total(),
        crashes=figures.crashes,
        answers=figures.acknowledged,
        probes_missed=len(figures.missed),
        violations=failed,
    )
    return int(bool(failed))


def _show_progress(line: str) -> None:
    """Print progress to stderr: in place on a terminal, else as lines."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}\033[K")
    else:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
