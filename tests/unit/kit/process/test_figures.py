"""Counts and durations: what a scrape reads of them, and what an observation costs."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from autogrocery.kit.process.figures import DURATION_BOUNDS_S, Counts, Durations

ROUNDS = 20_000
LIMIT_S = 5e-6  # of the fastest of five rounds, for one response and one call together; an order has several


def test_durations_are_cumulated_up_to_each_bound() -> None:
    registry = CollectorRegistry()
    durations = Durations("call_seconds", "Calls", ["peer"], registry)
    for seconds in (0.0005, 0.001, 0.3, 60.0):  # 0.001 is a bound: le includes it
        durations.observe(("pricing",), seconds)

    def bucket(bound: str) -> float | None:
        return registry.get_sample_value("call_seconds_bucket", {"peer": "pricing", "le": bound})

    assert (bucket("0.001"), bucket("0.25"), bucket("0.5"), bucket("10.0"), bucket("+Inf")) == (2, 2, 3, 3, 4)
    assert registry.get_sample_value("call_seconds_sum", {"peer": "pricing"}) == pytest.approx(60.3015)


def test_counts_are_kept_by_their_labels() -> None:
    registry = CollectorRegistry()
    counts = Counts("calls", "Calls", ["outcome"], registry)
    for outcome in ("ok", "away", "ok"):
        counts.add(outcome)
    assert registry.get_sample_value("calls_total", {"outcome": "ok"}) == 2
    assert registry.get_sample_value("calls_total", {"outcome": "away"}) == 1


def test_observation_costs_less_than_its_limit() -> None:
    registry = CollectorRegistry()
    durations, counts = Durations("d", "d", ["a", "b"], registry), Counts("c", "c", ["a", "b", "c"], registry)
    best_s = 1.0
    for _ in range(5):
        began_s = time.perf_counter()
        for _ in range(ROUNDS):
            labels = ("POST", "/api/client/order/confirm")
            counts.add(*labels, "200")
            durations.observe(labels, DURATION_BOUNDS_S[3])
        best_s = min(best_s, (time.perf_counter() - began_s) / ROUNDS)
    print(f"one observation with its count: {best_s * 1e6:.2f} µs")
    assert best_s < LIMIT_S
