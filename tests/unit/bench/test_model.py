"""The cost model: cores that a rate needs, and the bottleneck of a run."""

from __future__ import annotations

import pytest

from bench.job import Tally
from bench.measure import Run
from bench.model import bottlenecks, cores_at, cost_at_rate
from bench.record import Case

TALLY = Tally(
    took_s=1.0,
    orders=1,
    all_orders=1,
    begun=1,
    latency_ms={},
    failures={},
    refused_ms=None,
    late=0,
    dropped=0,
    logins=0,
    cpu_s=0.1,
)
CPU_US = {"gateway": 900.0, "postgresql": 100.0, "inventory": 50.0, "pricing": 50.0, "load": 100.0}


def case(orders_per_s: float) -> Case:
    run = Run(
        orders_per_s=orders_per_s,
        tally=TALLY,
        cpu_us=CPU_US,
        rss_before_mib=60.0,
        rss_after_mib=70.0,
        commits=0.1,
        wal_bytes=3_000,
        settled_s=0.0,
        violations=0,
    )
    return Case(connections=64, gateways=1, lines=2, run=run)


def test_cores_of_a_rate_are_rate_times_cpu_of_an_order() -> None:
    assert cores_at(case(1_000.0), 2_000.0) == {
        "gateway": 1.8,
        "postgresql": 0.2,
        "inventory": 0.1,
        "pricing": 0.1,
        "load": 0.2,
    }
    assert cost_at_rate(case(1_000.0))[-1] == ("all", "1,100", "11.0")


@pytest.mark.parametrize(
    ("orders_per_s", "cores", "bottleneck"),
    [
        (1_000.0, 4, "a gateway's core"),
        (1_000.0, 1, "the machine"),
        (100.0, 2, "latency: each request waits for the one before"),
    ],
)
def test_bottleneck_is_busy_for_80_percent_of_the_time(orders_per_s: float, cores: int, bottleneck: str) -> None:
    assert bottlenecks([case(orders_per_s)], cores)[0][-1] == bottleneck
