from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from autogrocery.console.core.text import age, duration, money, pill, problem, table

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0124, "12 ms"), (2.55, "2.5 s"), (90, "2 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_duration_has_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_markup_from_outside_is_escaped() -> None:
    shown = pill("<script>") + problem('"><img>') + table("<t>", ("<h>",), (), "<none>")
    assert "<script>" not in shown
    assert "<img>" not in shown
    assert "<none>" not in shown


def test_unknown_amount_and_time_are_dashes() -> None:
    assert money(None, "USD") == age(None, NOW) == "\N{EN DASH}"


def test_age_of_the_future_is_zero() -> None:
    assert age(NOW + timedelta(seconds=3), NOW) == "0 ms"
