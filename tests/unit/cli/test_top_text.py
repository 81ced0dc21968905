"""The small parts of the screen of `autogrocery top`."""

from __future__ import annotations

import pytest

from autogrocery.cli.top_text import duration, sparkline


def test_sparkline_shows_each_count_in_proportion_and_a_single_order_at_all() -> None:
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.012, "12 ms"), (1.25, "1.2 s"), (119.9, "119.9 s"), (600, "10 min")])
def test_duration_has_the_unit_of_its_size(seconds: float, text: str) -> None:
    assert duration(seconds) == text
