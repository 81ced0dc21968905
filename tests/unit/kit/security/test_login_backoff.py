"""LoginBackoff: free failures, growing waits by account and address, and bounded memory."""

from __future__ import annotations

import pytest
from msgspec import Struct

from autogrocery.kit.errors import TooMany, Unauthenticated, Unavailable
from autogrocery.kit.security.login_backoff import FORGET_AFTER_S, FREE_FAILURES, LoginBackoff

WRONG = Unauthenticated("invalid_credentials", "wrong")


class Clock(Struct):
    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backoff(clock: Clock) -> LoginBackoff:
    return LoginBackoff(60.0, max_keys=100, clock=clock)


def attempt(backoff: LoginBackoff, *key_parts: str, error: BaseException | None = WRONG) -> float | None:
    """Make one attempt; return the seconds to wait, None if it was allowed."""
    try:
        with backoff.attempt(*key_parts):
            if error is not None:
                raise error
    except TooMany as refusal:
        return refusal.retry_after_s
    except (Unauthenticated, Unavailable):
        pass
    return None


def wait_out(backoff: LoginBackoff, clock: Clock, who: str = "fridge") -> float:
    wait_s = attempt(backoff, who)
    assert wait_s is not None
    clock.at += wait_s
    return wait_s


def test_failures_after_the_free_ones_double_the_wait_up_to_the_maximum(backoff: LoginBackoff, clock: Clock) -> None:
    assert [attempt(backoff, "fridge") for _ in range(FREE_FAILURES)] == [None] * FREE_FAILURES
    waits_s = []
    for _ in range(9):
        waits_s.append(wait_out(backoff, clock))
        assert attempt(backoff, "fridge") is None
    assert waits_s == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_wait_starts_when_the_password_check_ends(backoff: LoginBackoff, clock: Clock) -> None:
    def wrong_after_10_s() -> None:
        with backoff.attempt("fridge"):
            clock.at += 10.0
            raise WRONG

    for _ in range(FREE_FAILURES):
        with pytest.raises(Unauthenticated):
            wrong_after_10_s()
    assert attempt(backoff, "fridge") == 1.0


def test_refused_attempt_does_not_extend_the_wait(backoff: LoginBackoff, clock: Clock) -> None:
    for _ in range(FREE_FAILURES):
        attempt(backoff, "fridge")
    assert [attempt(backoff, "fridge") for _ in range(50)] == [1.0] * 50
    clock.at += 1.0
    assert attempt(backoff, "fridge") is None


def test_success_resets_the_count(backoff: LoginBackoff) -> None:
    for _ in range(3):
        for _ in range(FREE_FAILURES - 1):
            assert attempt(backoff, "fridge") is None
        assert attempt(backoff, "fridge", error=None) is None


def test_other_account_and_other_address_are_not_delayed(backoff: LoginBackoff) -> None:
    for _ in range(FREE_FAILURES + 1):
        attempt(backoff, "fridge", "192.0.2.1")
    assert attempt(backoff, "fridge", "192.0.2.1") is not None
    assert attempt(backoff, "fridge", "192.0.2.2") is None
    assert attempt(backoff, "freezer", "192.0.2.1") is None


def test_concurrent_attempts_are_limited_like_sequential_ones(backoff: LoginBackoff) -> None:
    under_way = [backoff.attempt("fridge") for _ in range(FREE_FAILURES)]
    for one in under_way:
        one.__enter__()
    assert attempt(backoff, "fridge") is not None
    for one in under_way:
        assert not one.__exit__(Unauthenticated, WRONG, None)


@pytest.mark.parametrize("kind", [Unavailable, KeyError, KeyboardInterrupt])
def test_attempt_ended_by_other_exception_is_not_counted(backoff: LoginBackoff, kind: type[BaseException]) -> None:
    for _ in range(FREE_FAILURES * 2):
        with pytest.raises(kind), backoff.attempt("fridge"):
            raise kind("busy", "later")
    assert attempt(backoff, "fridge") is None


def test_count_is_forgotten_after_an_hour_without_failure(backoff: LoginBackoff, clock: Clock) -> None:
    for _ in range(FREE_FAILURES):
        attempt(backoff, "fridge")
    clock.at += FORGET_AFTER_S + 1
    assert [attempt(backoff, "fridge") for _ in range(FREE_FAILURES)] == [None] * FREE_FAILURES


def test_least_recently_used_key_is_evicted_at_max_keys(backoff: LoginBackoff) -> None:
    for _ in range(FREE_FAILURES):
        attempt(backoff, "fridge")
    for number in range(99):
        attempt(backoff, f"device-{number}")
    assert attempt(backoff, "fridge") is not None  # and is the most recently used key now
    for number in range(99, 198):
        attempt(backoff, f"device-{number}")
    assert len(backoff._failures) == 100
    assert attempt(backoff, "fridge") is not None
    for number in range(200, 301):
        attempt(backoff, f"device-{number}")
    assert attempt(backoff, "fridge") is None


@pytest.mark.parametrize("who", ["x" * 100_000, "\ud800", "a\0b"])
def test_key_of_any_length_is_stored_as_16_bytes(backoff: LoginBackoff, who: str) -> None:
    attempt(backoff, who)
    assert [len(key) for key in backoff._failures] == [16]
