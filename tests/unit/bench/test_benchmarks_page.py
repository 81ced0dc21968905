"""BENCHMARKS and its pictures are what the recorded figures render to."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench import page
from bench.pictures import Chart, Group, draw
from bench.tables import Sheet, trimmed


def test_the_page_and_its_pictures_are_what_was_recorded() -> None:
    record = page.read()
    assert page.PAGE.read_text(encoding="utf-8") == page.render(record)
    drawn = {path.name: path.read_text(encoding="utf-8") for path in page.FOLDER.glob("*.svg")}
    assert drawn == page.pictures(record)


def test_what_was_recorded_was_durable_and_left_no_violation() -> None:
    record = page.read()
    assert set(record.durable) >= {"fsync", "synchronous_commit"}
    assert set(record.durable.values()) == {"on"}
    assert record.runs
    assert record.violations == 0


def test_a_bar_is_as_high_as_its_value() -> None:
    picture = draw(Chart("twice", ("one",), [Group("a", (20.0,)), Group("b", (40.0,)), Group("c", (None,))]))
    rects = [one for one in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}rect") if len(one)]
    low, high = (float(one.attrib["height"]) for one in rects)
    assert abs(high - 2 * low) < 0.2


def test_stacked_bars_stand_on_one_another() -> None:
    picture = draw(Chart("stack", ("one", "two"), [Group("a", (20.0, 40.0))], stacked=True))
    lower, upper = (one.attrib for one in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}rect") if len(one))
    assert abs(float(upper["y"]) + float(upper["height"]) - float(lower["y"])) < 0.2


def test_a_condition_that_never_changes_is_told_in_the_title() -> None:
    sheet = trimmed(Sheet("t", ("connections", "lines", "orders/s"), [("1", "2", "10"), ("8", "2", "20")]))
    assert sheet == Sheet("t (lines 2)", ("connections", "orders/s"), [("1", "10"), ("8", "20")])
