"""Back-off: bounds of each wait, with the random part at its two ends."""

from __future__ import annotations

import pytest

from autogrocery.kit.backoff import equal_jitter_s, spread_s


def least(low: float, _high: float) -> float:
    return low


def most(_low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("failed", "longest_s"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (8, 60.0), (1_000_000, 60.0)]
)
def test_wait_doubles_up_to_its_cap_and_half_of_it_is_jitter(failed: int, longest_s: float) -> None:
    assert equal_jitter_s(failed, 0.5, 60.0, most) == longest_s
    assert equal_jitter_s(failed, 0.5, 60.0, least) == longest_s / 2


def test_steady_wait_is_spread_by_a_fifth_each_way() -> None:
    assert (spread_s(10.0, least), spread_s(10.0, most)) == (8.0, 12.0)


def test_default_random_part_stays_within_the_bounds() -> None:
    assert all(1.0 <= equal_jitter_s(2, 1.0, 10.0) <= 2.0 for _ in range(100))
