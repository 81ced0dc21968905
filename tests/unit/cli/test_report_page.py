from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from autogrocery.analytics.core.report import (
    DAY_S,
    HOUR_S,
    AisleLoad,
    Deliveries,
    Outcome,
    Period,
    Received,
    Report,
    RobotLoad,
    ShortAisle,
    ShortSku,
    Stage,
    Step,
    Told,
)
from autogrocery.cli.report_page import page
from autogrocery.cli.report_svg import nice_ticks
from autogrocery.cli.report_text import change, duration, money, tables

SINCE_S = 1_767_225_600


def report(**changed: object) -> Report:
    steps = [Step(SINCE_S + HOUR_S * hour, hour, 1_000 * hour, 3 * hour, 2 * hour, 60.0, 1_500.0) for hour in range(24)]
    made = Report(
        Period(SINCE_S, SINCE_S + DAY_S, HOUR_S, "mart-1"),
        steps,
        [Step(step.started_at - 7 * DAY_S, 2) for step in steps],
        [
            Outcome("COMPLETED", was_dispatched=True, orders=276, quoted_cents=276_000, short_cents=1_230),
            Outcome("CANCELLED", was_dispatched=False, orders=24, quoted_cents=5_000),
        ],
        [Stage("quote to end", 276, 800.0, 61_000.0, 300_000.0)],
        [Deliveries("RECEIVED", 3, 120)],
        SINCE_S + DAY_S,
        short_skus=[ShortSku("dairy", "4711", "Milk <1 l>", 3, 5, 1_230)],
        short_aisles=[ShortAisle("dairy", 3, 1, 5, 1_230)],
        aisles=[
            AisleLoad("dairy", 2, 300, 900, 17_280.0, 6_696.0, 95_000.0),
            AisleLoad("meat", 1, 30, 90, 1_728.0, 180.0, 0.0),
        ],
        robots=[RobotLoad("dairy", "dairy-1", 225, 700, 12_960.0), RobotLoad("dairy", "dairy-2", 75, 200, 4_320.0)],
        received=[Received("dairy", 3, 120, 118, 4, 6, 4)],
        told=Told(shortfalls=True, picks=True),
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
    for expected in (
        "276 orders completed",
        "+475 %",
        "2,760",
        "92.0 %",
        "cancelled by the customer",
        "8.0 %",
        "Short picks cost 12.30 EUR",
        "0.44 % of what was wanted",
        "Milk <1 l> SKU 4711",
        "Busiest hour: Thursday, 01 January, 23:00",
        "It would take 1 more in dairy",
        "93 % 95.0 s 2 3",
        "dairy 120 118 6 4 4",
        "75.0 %",
        "90.0 %",
    ):
        assert expected in text, expected
    assert not re.search(r"https?://|src=|url\(|@import|<script|<link", html)
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html


def test_text_from_outside_is_escaped() -> None:
    hostile = '<script>alert("x")</script>'
    html = page(report(period=Period(SINCE_S, SINCE_S + DAY_S, HOUR_S, hostile)), "EUR")
    assert hostile not in html
    assert hostile in read(html).text


def test_page_and_tables_of_an_empty_day_say_so() -> None:
    empty = Report(Period(SINCE_S, SINCE_S + DAY_S), [Step(SINCE_S)], [Step(SINCE_S)], [], [], [], 0, gaps_open=7)
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
    for expected in ("Milk <1 l>", "12.30 EUR", "93 %", "It would take 1 more in dairy"):
        assert expected in " ".join(out.getvalue().split()), expected


def test_what_no_peer_tells_is_not_told_instead_of_zero() -> None:
    nothing: list[object] = []
    silent = report(
        short_skus=nothing, short_aisles=nothing, aisles=nothing, robots=nothing, received=nothing, told=Told()
    )
    text = " ".join(read(page(silent, "EUR")).text.split())
    assert "Short picks cost 12.30 EUR Which lines were short is not told" in text
    assert "What it would take is not told" in text
    assert "Robots Not told" in text
    assert "What came of them is not told." in text
    out = io.StringIO()
    Console(file=out, width=140).print(tables(silent, "EUR"))
    assert "Not told by the gateway: which lines were short" in out.getvalue()
    assert "Not told by inventory: what robots did" in out.getvalue()


def test_running_day_is_compared_with_the_same_time_of_the_week_before() -> None:
    running = report(newest_fact_at=SINCE_S + 9 * HOUR_S, before_so_far=Step(SINCE_S - 7 * DAY_S, 138, 552_000))
    text = " ".join(read(page(running, "EUR")).text.split())
    assert "50 % less than the week before by then" in text
    assert "276 orders completed +100 % vs week before by then" in text


def test_details_that_are_behind_are_said_to_be_unknown() -> None:
    told = Told(shortfalls=True, picks=True, shortfalls_behind=7, picks_behind=1_234)
    text = read(page(report(told=told), "EUR")).text
    assert "Short picks and deliveries of 7 ended orders are not known yet." in text
    assert "Robots' work on 1,234 ended orders is not known yet." in text


def test_enough_robots_are_said_to_be_enough() -> None:
    quiet = report(aisles=[AisleLoad("meat", 1, 30, 90, 1_728.0, 2_880.0, 0.0)])
    assert quiet.aisles[0].robots_needed == 1
    assert "The robots were enough" in read(page(quiet, "EUR")).text


def test_week_shows_the_orders_of_each_hour_and_frames_the_busiest() -> None:
    hours = [Step(SINCE_S + HOUR_S * number, number % 50) for number in range(7 * 24)]
    days = [Step(SINCE_S + DAY_S * number, 100) for number in range(7)]
    week = report(
        period=Period(SINCE_S, SINCE_S + 7 * DAY_S, DAY_S), steps=days, before=days, hours=hours, newest_fact_at=SINCE_S
    )
    html = page(week, "EUR")
    assert html.count("<title>Thu 01 Jan, ") == 24
    assert html.count('class="top"') == 1
    assert "Busiest hour: Saturday, 03 January, 01:00" in read(html).text


@pytest.mark.parametrize(
    ("most", "ticks"),
    [(0, [0]), (1, [0, 1]), (3, [0, 1, 2, 3]), (968, [0, 500, 1_000]), (1_001, [0, 500, 1_000, 1_500])],
)
def test_axis_has_few_round_numbers(most: int, ticks: list[int]) -> None:
    assert nice_ticks(most) == ticks


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0 ms"), (999, "999 ms"), (1_500, "1.5 s"), (119_000, "119.0 s"), (300_000, "5.0 min")]
)
def test_duration_is_in_the_unit_that_fits(ms: float, text: str) -> None:
    assert duration(ms) == text


def test_change_needs_something_to_compare_with() -> None:
    assert (change(3, 0), change(3, 2), change(1, 2)) == ("", "+50 %", "-50 %")
    assert change(995, 1_000) == "-0.5 %"
    assert money(123_456, "USD") == "1,234.56 USD"
    assert money(123_456, "JPY") == "123,456 JPY"
