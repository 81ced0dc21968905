from __future__ import annotations

from itertools import pairwise

import pytest

from autogrocery.lab.fault_proxy import NO_FAULTS
from autogrocery.lab.prove.schedule import (
    DATABASE,
    DATABASE_SIGNALS,
    DURATION_S,
    INTERVAL_S,
    LINKS,
    NETWORK_FAULTS,
    PROCESSES,
    schedule,
)

MINUTES = 10 * 60.0
SEEDS = range(40)


def test_same_seed_gives_the_same_faults() -> None:
    assert schedule(5, MINUTES) == schedule(5, MINUTES)
    assert schedule(5, MINUTES) != schedule(6, MINUTES)


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    short, long = schedule(3, 60.0), schedule(3, MINUTES)
    assert len(short) > 10
    assert [event for event in long if event in short] == short
    assert all(event.at_s + event.duration_s > 60.0 for event in long if event not in short)


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_a_kind_keep_their_interval(seed: int) -> None:
    events = schedule(seed, MINUTES)
    assert events == sorted(events, key=lambda event: event.at_s)
    for kind, (least_s, most_s) in INTERVAL_S.items():
        times = [event.at_s for event in events if event.kind == kind]
        assert all(least_s - 0.02 <= later - sooner <= most_s + 0.02 for sooner, later in pairwise(times))
        assert times[-1] >= MINUTES - most_s - DURATION_S[1]
    assert INTERVAL_S["kill"] == (2.0, 8.0)
    assert INTERVAL_S["database"] == (5.0, 20.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_target_is_broken_in_every_way(seed: int) -> None:
    events = schedule(seed, MINUTES)
    by_kind = {kind: {event.target for event in events if event.kind == kind} for kind in INTERVAL_S}
    assert by_kind == {"kill": set(PROCESSES), "pause": set(PROCESSES), "database": {DATABASE}, "network": set(LINKS)}
    assert {event.how for event in events if event.kind == "network"} == set(NETWORK_FAULTS)
    assert {event.how for event in events if event.kind == "database"} == set(DATABASE_SIGNALS)
    assert sum(event.kind in ("kill", "database") for event in events) >= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_half_a_minute_has_every_kind_and_no_fault_outlasts_it(seed: int) -> None:
    events = schedule(seed, 15.0)
    assert {event.kind for event in events} == set(INTERVAL_S)
    assert all(event.at_s + event.duration_s <= 15.0 for event in events)
    assert all(
        (DURATION_S[0] <= event.duration_s <= DURATION_S[1]) == (event.kind in ("pause", "network")) for event in events
    )


def test_network_faults_are_distinct_and_not_empty() -> None:
    assert NO_FAULTS not in NETWORK_FAULTS.values()
    assert len(set(map(str, NETWORK_FAULTS.values()))) == len(NETWORK_FAULTS)
