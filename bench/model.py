"""The cost model: CPU µs an order by component, times a rate, is the CPU that the rate takes; held against what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.record import Case

RATE = 10_000
COMPONENTS = ("gateway", "postgresql", "inventory", "pricing")
HEAD = ("connections", "gateway at work", "all at work, of the cores", "what limits")
RATE_HEAD = ("component", "µs an order", f"cores at {RATE:,} orders/s")
NEARLY = 0.8  # of what there is: a component or a machine at work for so much of the time is what limits


def cores_at(case: Case, rate: float) -> dict[str, float]:
    """Return how many cores each component is at work on, at a rate in orders a second."""
    return {name: case.run.cpu_us[name] * rate / 1e6 for name in (*COMPONENTS, "load") if name in case.run.cpu_us}


def limits(cases: Sequence[Case], cores: int) -> list[tuple[str, ...]]:
    """Say for each case what the measured rate keeps busy by the model, and so what limits it."""
    rows: list[tuple[str, ...]] = []
    for case in cases:
        busy = cores_at(case, case.run.orders_per_s)
        each, everything = busy["gateway"] / case.gateways, sum(busy.values()) / cores
        limit = (
            "the machine"
            if everything >= NEARLY
            else "a gateway's core"
            if each >= NEARLY
            else "waiting: one answer after the other"
        )
        rows.append((str(case.connections), f"{each:.0%} of a core", f"{everything:.0%}", limit))
    return rows


def at_rate(case: Case) -> list[tuple[str, ...]]:
    """Say what RATE orders a second take, by what the largest batches cost."""
    rows: list[tuple[str, ...]] = [
        (name, f"{case.run.cpu_us[name]:,.0f}", f"{cores:.1f}")
        for name, cores in cores_at(case, RATE).items()
        if name != "load"
    ]
    spent = sum(case.run.cpu_us[name] for name, *_ in rows)
    return [*rows, ("all", f"{spent:,.0f}", f"{spent * RATE / 1e6:.1f}")]
