"""The cost model says what a rate takes, and what limits a run."""

from __future__ import annotations

import pytest

from bench.job import Tally
from bench.measure import Run
from bench.model import at_rate, cores_at, limits
from bench.record import Case

TALLY = Tally(
    took_s=1.0,
    orders=1,
    all_orders=1,
    begun=1,
    spread_ms={},
    other={},
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


def test_a_rate_takes_its_microseconds() -> None:
    assert cores_at(case(1_000.0), 2_000.0) == {
        "gateway": 1.8,
        "postgresql": 0.2,
        "inventory": 0.1,
        "pricing": 0.1,
        "load": 0.2,
    }
    assert at_rate(case(1_000.0))[-1] == ("all", "1,100", "11.0")


@pytest.mark.parametrize(
    ("orders_per_s", "cores", "limit"),
    [(1_000.0, 4, "a gateway's core"), (1_000.0, 1, "the machine"), (100.0, 2, "waiting: one answer after the other")],
)
def test_what_limits_is_what_is_at_work_nearly_all_the_time(orders_per_s: float, cores: int, limit: str) -> None:
    assert limits([case(orders_per_s)], cores)[0][-1] == limit
