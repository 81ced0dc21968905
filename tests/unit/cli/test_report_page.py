from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from autogrocery.analytics.core.report import DAY_S, HOUR_S, Deliveries, Outcome, Period, Report, Stage, Step
from autogrocery.cli.report_page import page
from autogrocery.cli.report_text import change, duration, money, tables

SINCE_S = 1_767_225_600


def report(**changed: object) -> Report:
    steps = [Step(SINCE_S + HOUR_S * hour, hour, 1_000 * hour, 3 * hour, 2 * hour, 60.0, 1_500.0) for hour in range(24)]
    made = Report(
        Period(SINCE_S, SINCE_S + DAY_S, HOUR_S, "mart-1"),
        steps,
        [Step(step.started_at - 7 * DAY_S, 2) for step in steps],
        [
            Outcome("COMPLETED", was_dispatched=True, orders=276, quoted_cents=276_000),
            Outcome("CANCELLED", was_dispatched=False, orders=24, quoted_cents=5_000),
        ],
        [Stage("quote to end", 276, 800.0, 61_000.0, 300_000.0)],
        [Deliveries("RECEIVED", 3, 120)],
        SINCE_S + DAY_S,
    )
    return msgspec.structs.replace(made, **changed)


class Tree(HTMLParser):
    """Checks that tags are nested; `text` has what a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base class names it
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f"{data} "


def read(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    assert not tree.open
    return tree


def test_page_has_every_figure_and_asks_nobody_for_anything() -> None:
    html = page(report(), "EUR")
    text = " ".join(read(html).text.split())
    for expected in ("276 orders completed", "+475 %", "2,760", "92.0 %", "cancelled by the customer", "8.0 %", "120"):
        assert expected in text
    assert not re.search(r"https?://|src=|url\(|@import|<script|<link", html)
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html


def test_text_from_outside_is_escaped() -> None:
    hostile = '<script>alert("x")</script>'
    html = page(report(period=Period(SINCE_S, SINCE_S + DAY_S, HOUR_S, hostile)), "EUR")
    assert hostile not in html
    assert hostile in read(html).text


def test_page_and_tables_of_an_empty_day_say_so() -> None:
    empty = report(steps=[Step(SINCE_S)], before=[Step(SINCE_S)], outcomes=[], stages=[], deliveries=[], gaps_open=7)
    text = read(page(empty, "EUR")).text
    assert "No order was completed in this time." in text
    assert "7 status changes are still missing" in text
    out = io.StringIO()
    Console(file=out, width=120).print(tables(empty, "EUR"))
    assert "No order was completed in this time." in out.getvalue()
    assert "7 status changes are still missing" in out.getvalue()


def test_tables_show_the_week_before_and_the_busiest_hour() -> None:
    out = io.StringIO()
    Console(file=out, width=140).print(tables(report(), "EUR"))
    assert "48 +475 %" in out.getvalue()
    assert "2,760.00 EUR" in out.getvalue()
    assert "with 23 orders; 0.0 were with the robots on average, nine in ten for at most 1.5 s" in out.getvalue()


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0 ms"), (999, "999 ms"), (1_500, "1.5 s"), (119_000, "119.0 s"), (300_000, "5.0 min")]
)
def test_duration_is_in_the_unit_that_fits(ms: float, text: str) -> None:
    assert duration(ms) == text


def test_change_needs_something_to_compare_with() -> None:
    assert (change(3, 0), change(3, 2), change(1, 2)) == ("", "+50 %", "-50 %")
    assert money(123_456, "USD") == "1,234.56 USD"
    assert money(123_456, "JPY") == "123,456 JPY"
