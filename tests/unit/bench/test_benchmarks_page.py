"""docs/BENCHMARKS.md and its charts are rendered from the recorded figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench import page
from bench.cells import ResultTable, trimmed
from bench.metrics.record import MetricsRecord
from bench.metrics.tables import metrics_goals
from bench.pictures import Chart, Group, draw
from bench.tables import result_tables
from tests.harness.bench_figures import full_record, record_with_row

if TYPE_CHECKING:
    from bench.record import Record


def test_page_and_charts_equal_the_rendered_record() -> None:
    record = page.read_record()
    assert page.PAGE.read_text(encoding="utf-8") == page.whole_page()
    charts = {path.name: path.read_text(encoding="utf-8") for path in page.CHARTS.glob("*.svg")}
    assert charts == page.charts(record)


@pytest.mark.parametrize("record", [page.read_record(), *page.read_others()], ids=lambda record: record.machine.build)
def test_recorded_runs_had_durable_settings_no_violations_and_every_receipt(record: Record) -> None:
    if not record.runs:
        assert page.NOT_MEASURED in page.PAGE.read_text(encoding="utf-8")
        return
    assert set(record.durable) >= {"fsync", "synchronous_commit"}
    assert set(record.durable.values()) == {"on"}
    assert record.violations == 0
    assert record.missing_receipts == 0
    assert any(run.receipts for run in record.runs)


def test_each_missed_goal_is_explained_and_nothing_else_is() -> None:
    assert {goal.figure for goal in page.missed_goals(page.read_record())} == page.read_reasons().keys()


def test_each_missed_goal_of_metrics_is_explained_and_no_fact_was_lost() -> None:
    record = msgspec.json.decode(page.METRICS.read_bytes(), type=MetricsRecord)
    missed = {goal.figure for goal in metrics_goals(record) if not goal.reached}
    assert missed == page.read_reasons(page.METRICS_MISSED).keys()
    assert not any(one.missing_facts for one in record.audiences)
    assert not record.saturation.dropped


def test_missed_goal_is_followed_by_its_reason_and_next_step() -> None:
    record = record_with_row(64, orders_per_s=1_000.0, pgbench_per_s=1_000.0)
    figure = "64 connections: orders/s ÷ pgbench"
    assert figure in {goal.figure for goal in page.missed_goals(record)}
    rendered = page.render(record, (), {figure: {"why": "the peers are the limit", "next": "cheaper peers"}})
    assert (
        f"- **{figure}** (≥ 1.30, measured 1.00). Why: the peers are the limit. Next step: cheaper peers." in rendered
    )
    assert page.UNEXPLAINED in page.render(record)


def test_every_part_of_a_record_has_its_table_and_every_chart_its_bars() -> None:
    record = full_record()
    rendered = page.render(record, [record])
    titles = [table.title for table in result_tables(record)]
    assert len(titles) == len(set(titles)) == 22
    for title in titles:
        assert len(re.findall(rf"^##+ {re.escape(title)}$", rendered, re.MULTILINE)) == 2, title  # one of each Python
    assert "difference: checks, objects, tasks, smaller batches |  |  | 180 |" in rendered
    assert sorted(page.charts(record)) == ["cpu.svg", "latency.svg", "throughput.svg"]
    assert all("<title>" in svg for svg in page.charts(record).values())


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
