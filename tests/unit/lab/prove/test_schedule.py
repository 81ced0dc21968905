from __future__ import annotations

from itertools import pairwise

import pytest

from autogrocery.lab.fault_proxy import CALM
from autogrocery.lab.prove.schedule import BETWEEN_S, DATABASE, LASTS_S, LINKS, PROCESSES, STOPS, WEATHERS, schedule

MINUTES = 10 * 60.0
SEEDS = range(40)


def test_the_same_seed_gives_the_same_disasters() -> None:
    assert schedule(5, MINUTES) == schedule(5, MINUTES)
    assert schedule(5, MINUTES) != schedule(6, MINUTES)


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    short, long = schedule(3, 60.0), schedule(3, MINUTES)
    assert len(short) > 10
    assert [event for event in long if event in short] == short
    assert all(event.at_s + event.lasts_s > 60.0 for event in long if event not in short)


@pytest.mark.parametrize("seed", SEEDS)
def test_disasters_of_a_kind_keep_their_distance(seed: int) -> None:
    events = schedule(seed, MINUTES)
    assert events == sorted(events, key=lambda event: event.at_s)
    for kind, (least_s, most_s) in BETWEEN_S.items():
        times = [event.at_s for event in events if event.kind == kind]
        assert all(least_s - 0.02 <= later - sooner <= most_s + 0.02 for sooner, later in pairwise(times))
        assert times[-1] >= MINUTES - most_s - LASTS_S[1]
    assert BETWEEN_S["kill"] == (2.0, 8.0)
    assert BETWEEN_S["database"] == (5.0, 20.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_struck_in_every_way(seed: int) -> None:
    events = schedule(seed, MINUTES)
    by_kind = {kind: {event.target for event in events if event.kind == kind} for kind in BETWEEN_S}
    assert by_kind == {"kill": set(PROCESSES), "pause": set(PROCESSES), "database": {DATABASE}, "weather": set(LINKS)}
    assert {event.how for event in events if event.kind == "weather"} == set(WEATHERS)
    assert {event.how for event in events if event.kind == "database"} == set(STOPS)
    assert sum(event.kind in ("kill", "database") for event in events) >= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_half_a_minute_holds_every_kind_and_nothing_outlasts_it(seed: int) -> None:
    events = schedule(seed, 15.0)
    assert {event.kind for event in events} == set(BETWEEN_S)
    assert all(event.at_s + event.lasts_s <= 15.0 for event in events)
    assert all((LASTS_S[0] <= event.lasts_s <= LASTS_S[1]) == (event.kind in ("pause", "weather")) for event in events)


def test_no_bad_weather_is_calm() -> None:
    assert CALM not in WEATHERS.values()
    assert len(set(map(str, WEATHERS.values()))) == len(WEATHERS)
