"""Counts and durations: what a scrape reads of them, and what an observation costs."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from autogrocery.kit.process.figures import Durations

ROUNDS = 20_000
LIMIT_S = 5e-6  # for an order, in the fastest of five rounds
AN_ORDER = 7  # observations at most: preview, confirm, webhook, three calls to peers, one repeated


def test_durations_are_cumulated_up_to_each_bound() -> None:
    registry = CollectorRegistry()
    durations = Durations("call_seconds", "Calls", ["peer"], registry)
    for seconds in (0.0005, 0.001, 0.3, 60.0):  # 0.001 is a bound: le includes it
        durations.observe(("pricing",), seconds)

    def bucket(bound: str) -> float | None:
        return registry.get_sample_value("call_seconds_bucket", {"peer": "pricing", "le": bound})

    assert (bucket("0.001"), bucket("0.25"), bucket("0.5"), bucket("10.0"), bucket("+Inf")) == (2, 2, 3, 3, 4)
    assert registry.get_sample_value("call_seconds_sum", {"peer": "pricing"}) == pytest.approx(60.3015)


def test_outcomes_are_counted_apart_and_timed_together() -> None:
    registry = CollectorRegistry()
    durations = Durations("call_seconds", "Calls", ["peer"], registry, counter="calls", outcome="outcome")
    for outcome in ("ok", "away", "ok"):
        durations.observe(("pricing", outcome), 0.01)
    assert registry.get_sample_value("calls_total", {"peer": "pricing", "outcome": "ok"}) == 2
    assert registry.get_sample_value("calls_total", {"peer": "pricing", "outcome": "away"}) == 1
    assert registry.get_sample_value("call_seconds_count", {"peer": "pricing"}) == 3


def test_observations_of_an_order_cost_less_than_the_limit() -> None:
    durations = Durations("d", "d", ["a", "b"], CollectorRegistry(), counter="c", outcome="o")
    best_s = 1.0
    for _ in range(5):
        began_s = time.perf_counter()
        for _ in range(ROUNDS):
            durations.observe(("POST", "/api/client/order/confirm", 200), time.perf_counter() - began_s)
        best_s = min(best_s, (time.perf_counter() - began_s) / ROUNDS)
    assert best_s * AN_ORDER < LIMIT_S
