"""Guesses: a few are free, each further one waits longer, and only where they come from."""

from __future__ import annotations

import pytest
from msgspec import Struct

from autogrocery.kit.errors import TooMany, Unauthenticated, Unavailable
from autogrocery.kit.security.attempts import FORGET_S, FREE, Attempts

WRONG = Unauthenticated("invalid_credentials", "wrong")


class Clock(Struct):
    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(60.0, max_keys=100, clock=clock)


def guess(attempts: Attempts, *who: str, error: BaseException | None = WRONG) -> float | None:
    """Seconds to wait, None if the guess could be made."""
    try:
        with attempts.guess(*who):
            if error is not None:
                raise error
    except TooMany as refusal:
        return refusal.retry_after_s
    except (Unauthenticated, Unavailable):
        pass
    return None


def wait_out(attempts: Attempts, clock: Clock, who: str = "fridge") -> float:
    wait_s = guess(attempts, who)
    assert wait_s is not None
    clock.at += wait_s
    return wait_s


def test_the_first_guesses_are_free_and_then_each_waits_twice_as_long_up_to_a_cap(
    attempts: Attempts, clock: Clock
) -> None:
    assert [guess(attempts, "fridge") for _ in range(FREE)] == [None] * FREE
    waits_s = []
    for _ in range(9):
        waits_s.append(wait_out(attempts, clock))
        assert guess(attempts, "fridge") is None
    assert waits_s == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_begins_when_the_guess_has_been_judged(attempts: Attempts, clock: Clock) -> None:
    def wrong_after_10_s() -> None:
        with attempts.guess("fridge"):
            clock.at += 10.0
            raise WRONG

    for _ in range(FREE):
        with pytest.raises(Unauthenticated):
            wrong_after_10_s()
    assert guess(attempts, "fridge") == 1.0


def test_a_guess_that_is_refused_makes_nobody_wait_longer(attempts: Attempts, clock: Clock) -> None:
    for _ in range(FREE):
        guess(attempts, "fridge")
    assert [guess(attempts, "fridge") for _ in range(50)] == [1.0] * 50
    clock.at += 1.0
    assert guess(attempts, "fridge") is None


def test_the_right_one_forgives_all(attempts: Attempts) -> None:
    for _ in range(3):
        for _ in range(FREE - 1):
            assert guess(attempts, "fridge") is None
        assert guess(attempts, "fridge", error=None) is None


def test_elsewhere_and_others_are_not_concerned(attempts: Attempts) -> None:
    for _ in range(FREE + 1):
        guess(attempts, "fridge", "192.0.2.1")
    assert guess(attempts, "fridge", "192.0.2.1") is not None
    assert guess(attempts, "fridge", "192.0.2.2") is None
    assert guess(attempts, "freezer", "192.0.2.1") is None


def test_many_at_once_are_no_more_than_one_after_the_other(attempts: Attempts) -> None:
    under_way = [attempts.guess("fridge") for _ in range(FREE)]
    for one in under_way:
        one.__enter__()
    assert guess(attempts, "fridge") is not None
    for one in under_way:
        assert not one.__exit__(Unauthenticated, WRONG, None)


@pytest.mark.parametrize("kind", [Unavailable, KeyError, KeyboardInterrupt])
def test_a_guess_that_nobody_judged_does_not_count(attempts: Attempts, kind: type[BaseException]) -> None:
    for _ in range(FREE * 2):
        with pytest.raises(kind), attempts.guess("fridge"):
            raise kind("busy", "later")
    assert guess(attempts, "fridge") is None


def test_after_a_long_rest_the_first_guesses_are_free_again(attempts: Attempts, clock: Clock) -> None:
    for _ in range(FREE):
        guess(attempts, "fridge")
    clock.at += FORGET_S + 1
    assert [guess(attempts, "fridge") for _ in range(FREE)] == [None] * FREE


def test_memory_is_bounded_and_the_longest_unseen_is_forgotten(attempts: Attempts) -> None:
    for _ in range(FREE):
        guess(attempts, "fridge")
    for number in range(99):
        guess(attempts, f"device-{number}")
    assert guess(attempts, "fridge") is not None  # and is the last one seen now
    for number in range(99, 198):
        guess(attempts, f"device-{number}")
    assert len(attempts._guesses) == 100
    assert guess(attempts, "fridge") is not None
    for number in range(200, 301):
        guess(attempts, f"device-{number}")
    assert guess(attempts, "fridge") is None


@pytest.mark.parametrize("who", ["x" * 100_000, "\ud800", "a\0b"])
def test_any_name_is_kept_in_16_bytes(attempts: Attempts, who: str) -> None:
    guess(attempts, who)
    assert [len(key) for key in attempts._guesses] == [16]
