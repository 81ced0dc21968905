"""The cost model: the CPU that a rate needs is the rate times the CPU of an order, by component."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.record import Case

RATE = 10_000
COMPONENTS = ("gateway", "notifier", "postgresql", "inventory", "pricing", "mail sink")
HEAD = ("connections", "gateway busy", "all cores busy", "bottleneck")
RATE_HEAD = ("component", "µs an order", f"cores at {RATE:,} orders/s")
SATURATED = 0.8  # share of a core, or of all cores, from which it counts as the bottleneck


def cores_at(case: Case, rate: float) -> dict[str, float]:
    """Return how many cores each component keeps busy at a rate in orders a second."""
    return {name: us * rate / 1e6 for name in (*COMPONENTS, "load") if (us := case.run.cpu_us.get(name))}


def bottlenecks(cases: Sequence[Case], cores: int) -> list[tuple[str, ...]]:
    """Return a row for each case: how busy its measured rate keeps gateway and machine, and the bottleneck."""
    rows: list[tuple[str, ...]] = []
    for case in cases:
        busy = cores_at(case, case.run.orders_per_s)
        gateway, machine = busy["gateway"] / case.gateways, sum(busy.values()) / cores
        bottleneck = (
            "the machine"
            if machine >= SATURATED
            else "a gateway's core"
            if gateway >= SATURATED
            else "latency: each request waits for the one before"
        )
        rows.append((str(case.connections), f"{gateway:.0%} of a core", f"{machine:.0%}", bottleneck))
    return rows


def cost_at_rate(case: Case) -> list[tuple[str, ...]]:
    """Return the cores that each component needs for RATE orders a second, at the CPU of a case."""
    rows: list[tuple[str, ...]] = [
        (name, f"{case.run.cpu_us[name]:,.0f}", f"{cores:.1f}")
        for name, cores in cores_at(case, RATE).items()
        if name != "load"
    ]
    total_us = sum(case.run.cpu_us[name] for name, *_ in rows)
    return [*rows, ("all", f"{total_us:,.0f}", f"{total_us * RATE / 1e6:.1f}")]
