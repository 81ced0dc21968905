"""Rates: a burst, then so many a second, for each caller, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from autogrocery.kit.errors import TooMany
from autogrocery.kit.security.rates import Limit, source_of


class Clock(Struct):
    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


def spend(limit: Limit, caller: str = "a") -> float | None:
    """Seconds to wait, None if the token was had."""
    try:
        limit.spend(caller)
    except TooMany as refusal:
        return refusal.retry_after_s
    return None


def test_the_burst_is_had_at_once_and_no_more() -> None:
    limit = Limit("t", rate_per_s=20, burst=40, clock=Clock())
    assert [spend(limit) for _ in range(40)] == [None] * 40
    assert spend(limit) == pytest.approx(0.05)


def test_waiting_as_told_is_enough_and_waiting_less_is_not() -> None:
    clock = Clock()
    limit = Limit("t", rate_per_s=2, burst=3, clock=clock)
    for _ in range(3):
        assert spend(limit) is None
    wait_s = spend(limit)
    assert wait_s == pytest.approx(0.5)
    clock.at += 0.4
    assert spend(limit) is not None
    clock.at += 0.1
    assert spend(limit) is None


def test_what_was_refused_costs_nothing() -> None:
    clock = Clock()
    limit = Limit("t", rate_per_s=1, burst=1, clock=clock)
    spend(limit)
    for _ in range(100):
        assert spend(limit) is not None
    clock.at += 1
    assert spend(limit) is None


def test_callers_do_not_share() -> None:
    limit = Limit("t", rate_per_s=1, burst=1, clock=Clock())
    assert [spend(limit, name) for name in "aab"] == [None, 1.0, None]


def test_memory_is_bounded_and_the_longest_unseen_is_forgotten() -> None:
    limit = Limit("t", rate_per_s=1, burst=1, max_callers=3, clock=Clock())
    for name in "abcad":
        spend(limit, name)
    assert set(limit._full_at) == {"c", "a", "d"}


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 10), st.floats(0.5, 50))
def test_no_stretch_of_time_gives_more_than_burst_and_rate(
    pauses_s: list[float], burst: int, rate_per_s: float
) -> None:
    clock = Clock()
    limit = Limit("t", rate_per_s=rate_per_s, burst=burst, clock=clock)
    had: list[float] = []
    for pause_s in pauses_s:
        clock.at += pause_s
        if spend(limit) is None:
            had.append(clock.at)
    for first in range(len(had)):
        for last in range(first, len(had)):
            assert last - first + 1 <= burst + (had[last] - had[first]) * rate_per_s + 1e-3


def test_each_token_says_how_many_are_left_and_when_all_are_there_again() -> None:
    clock = Clock()
    limit = Limit("t", rate_per_s=2, burst=3, clock=clock)
    assert [limit.spend("a") for _ in range(3)] == [
        (b"ratelimit", b'"t";r=2;t=1'),
        (b"ratelimit", b'"t";r=1;t=1'),
        (b"ratelimit", b'"t";r=0;t=2'),
    ]
    clock.at += 1.0
    assert limit.spend("a") == (b"ratelimit", b'"t";r=1;t=1')
    assert limit.policy == (b"ratelimit-policy", b'"t";q=3;w=2')


@given(st.lists(st.floats(0, 1), max_size=100), st.integers(1, 40), st.floats(0.5, 50))
def test_what_is_said_to_be_left_can_be_had(pauses_s: list[float], burst: int, rate_per_s: float) -> None:
    clock = Clock()
    limit = Limit("t", rate_per_s=rate_per_s, burst=burst, clock=clock)
    for pause_s in pauses_s:
        clock.at += pause_s
        try:
            _, field = limit.spend("a")
        except TooMany:
            continue
        left = int(field.decode().split("r=")[1].split(";")[0])
        assert 0 <= left < burst
        again = Limit("t", rate_per_s=rate_per_s, burst=burst, clock=clock)
        again._full_at = dict(limit._full_at)
        assert [spend(again) for _ in range(left)] == [None] * left
        assert spend(again) is not None


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("no:address", "?"),
        ("x" * 10_000, "?"),
        (":" * 10_000, "?"),
    ],
)
def test_a_household_of_ipv6_addresses_is_one_source(address: str, source: str) -> None:
    assert source_of(address) == source
