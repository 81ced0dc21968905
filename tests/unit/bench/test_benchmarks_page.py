"""docs/BENCHMARKS.md and its charts are rendered from the recorded figures."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench import page
from bench.pictures import Chart, Group, draw
from bench.tables import ResultTable, trimmed


def test_page_and_charts_equal_the_rendered_record() -> None:
    record = page.read_record()
    assert page.PAGE.read_text(encoding="utf-8") == page.render(record)
    charts = {path.name: path.read_text(encoding="utf-8") for path in page.CHARTS.glob("*.svg")}
    assert charts == page.charts(record)


def test_recorded_runs_had_durable_settings_and_no_violations() -> None:
    record = page.read_record()
    assert set(record.durable) >= {"fsync", "synchronous_commit"}
    assert set(record.durable.values()) == {"on"}
    assert record.runs
    assert record.violations == 0


def test_bar_of_twice_the_value_has_twice_the_height() -> None:
    svg = draw(Chart("twice", ("one",), [Group("a", (20.0,)), Group("b", (40.0,)), Group("c", (None,))]))
    rects = [one for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect") if len(one)]
    low, high = (float(one.attrib["height"]) for one in rects)
    assert abs(high - 2 * low) < 0.2


def test_stacked_bar_ends_where_the_next_begins() -> None:
    svg = draw(Chart("stack", ("one", "two"), [Group("a", (20.0, 40.0))], stacked=True))
    lower, upper = (one.attrib for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect") if len(one))
    assert abs(float(upper["y"]) + float(upper["height"]) - float(lower["y"])) < 0.2


def test_condition_with_one_value_moves_from_rows_to_title() -> None:
    table = trimmed(ResultTable("t", ("connections", "lines", "orders/s"), [("1", "2", "10"), ("8", "2", "20")]))
    assert table == ResultTable("t (lines 2)", ("connections", "orders/s"), [("1", "10"), ("8", "20")])
