"""RateLimit: a burst, then a rate for each caller, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from autogrocery.kit.errors import TooMany
from autogrocery.kit.security.rate_limit import RateLimit, rate_limit_key


class Clock(Struct):
    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


def spend(limit: RateLimit, caller: str = "a") -> float | None:
    """Take a token; return the seconds to wait, None if there was one."""
    try:
        limit.spend(caller)
    except TooMany as refusal:
        return refusal.retry_after_s
    return None


def test_burst_is_allowed_at_once_and_the_next_request_waits() -> None:
    limit = RateLimit("t", rate_per_s=20, burst=40, clock=Clock())
    assert [spend(limit) for _ in range(40)] == [None] * 40
    assert spend(limit) == pytest.approx(0.05)


def test_request_succeeds_after_retry_after_and_not_before() -> None:
    clock = Clock()
    limit = RateLimit("t", rate_per_s=2, burst=3, clock=clock)
    for _ in range(3):
        assert spend(limit) is None
    wait_s = spend(limit)
    assert wait_s == pytest.approx(0.5)
    clock.at += 0.4
    assert spend(limit) is not None
    clock.at += 0.1
    assert spend(limit) is None


def test_refused_requests_take_no_tokens() -> None:
    clock = Clock()
    limit = RateLimit("t", rate_per_s=1, burst=1, clock=clock)
    spend(limit)
    for _ in range(100):
        assert spend(limit) is not None
    clock.at += 1
    assert spend(limit) is None


def test_each_caller_has_its_own_bucket() -> None:
    limit = RateLimit("t", rate_per_s=1, burst=1, clock=Clock())
    assert [spend(limit, name) for name in "aab"] == [None, 1.0, None]


def test_least_recently_used_bucket_is_evicted_at_max_callers() -> None:
    limit = RateLimit("t", rate_per_s=1, burst=1, max_callers=3, clock=Clock())
    for name in "abcad":
        spend(limit, name)
    assert set(limit._full_at) == {"c", "a", "d"}


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 10), st.floats(0.5, 50))
def test_no_interval_allows_more_than_burst_plus_rate(pauses_s: list[float], burst: int, rate_per_s: float) -> None:
    clock = Clock()
    limit = RateLimit("t", rate_per_s=rate_per_s, burst=burst, clock=clock)
    times: list[float] = []
    for pause_s in pauses_s:
        clock.at += pause_s
        if spend(limit) is None:
            times.append(clock.at)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - times[first]) * rate_per_s + 1e-3


def test_ratelimit_header_says_tokens_left_and_seconds_to_a_full_bucket() -> None:
    clock = Clock()
    limit = RateLimit("t", rate_per_s=2, burst=3, clock=clock)
    assert [limit.spend("a") for _ in range(3)] == [
        (b"ratelimit", b'"t";r=2;t=1'),
        (b"ratelimit", b'"t";r=1;t=1'),
        (b"ratelimit", b'"t";r=0;t=2'),
    ]
    clock.at += 1.0
    assert limit.spend("a") == (b"ratelimit", b'"t";r=1;t=1')
    assert limit.policy == (b"ratelimit-policy", b'"t";q=3;w=2')


@given(st.lists(st.floats(0, 1), max_size=100), st.integers(1, 40), st.floats(0.5, 50))
def test_tokens_left_in_the_header_can_be_spent(pauses_s: list[float], burst: int, rate_per_s: float) -> None:
    clock = Clock()
    limit = RateLimit("t", rate_per_s=rate_per_s, burst=burst, clock=clock)
    for pause_s in pauses_s:
        clock.at += pause_s
        try:
            _, field = limit.spend("a")
        except TooMany:
            continue
        left = int(field.decode().split("r=")[1].split(";")[0])
        assert 0 <= left < burst
        again = RateLimit("t", rate_per_s=rate_per_s, burst=burst, clock=clock)
        again._full_at = dict(limit._full_at)
        assert [spend(again) for _ in range(left)] == [None] * left
        assert spend(again) is not None


@pytest.mark.parametrize(
    ("address", "key"),
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
def test_rate_limit_key_of_an_address(address: str, key: str) -> None:
    assert rate_limit_key(address) == key
