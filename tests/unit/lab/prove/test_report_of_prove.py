from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from msgspec.structs import replace
from rich.console import Console

from autogrocery.lab.prove.page import page, write_html
from autogrocery.lab.prove.report import print_report, write_json
from tests.harness.recorded_run import FINAL_ORDER, OUTCOME, figures

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br"}


class Nesting(HTMLParser):
    """Parses a page strictly: every tag is closed in order; keeps attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: str) -> Nesting:
    reader = Nesting()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def printed(found: object) -> str:
    written = io.StringIO()
    print_report(found, Console(file=written, width=140))  # type: ignore[arg-type]
    return written.getvalue()


def test_json_has_summary_and_figures(tmp_path: Path) -> None:
    write_json(figures(), tmp_path / "deep" / "figures.json")
    report = json.loads((tmp_path / "deep" / "figures.json").read_text())
    assert report["summary"] | {"recovery_by_target": None} == {
        "ok": True,
        "kills": 2,
        "pauses": 1,
        "network_faults": 1,
        "orders": 1,
        "violations": 0,
        "lost_acknowledgements": 0,
        "recovery": {"count": 4, "p50_s": 0.5, "p99_s": 2.0, "max_s": 2.0},
        "recovery_by_target": None,
        "get_availability": 38 / 40,
        "get_availability_outside_database_downtime": 1.0,
        "get_availability_for_devices": 36 / 40,
        "get_availability_for_devices_outside_database_downtime": 36 / 37,
    }
    assert report["summary"]["recovery_by_target"]["postgresql"]["max_s"] == 2.0  # the first confirm, disturbed or not
    assert len(report["figures"]["faults"]) == 4
    assert report["figures"]["gets"]["database_down_s"] == 1.0


def test_the_terminal_shows_counts_recovery_and_verdict() -> None:
    text = printed(figures())
    for line in ("1 processes, 1 database crashes", "GET at gateway-1", "responses journalled", "PROVEN"):
        assert line in text
    assert re.search(r"gateway-1 +│ GET at gateway-1 +│ +1 │ +0.50 │", text)
    assert re.search(r"outside 1.0 s of database downtime +│ 100.00% of", text)


def test_page_loads_nothing_from_elsewhere() -> None:
    read_page = read(page(figures()))
    assert {tag for tag, _ in read_page.tags}.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert not any({"src", "href", "onload", "onclick"} & attrs.keys() for _, attrs in read_page.tags)
    assert "url(" not in page(figures())
    assert "@import" not in page(figures())


def test_every_fault_is_a_bar_in_its_row_and_time() -> None:
    found = figures()
    bars = [attrs for tag, attrs in read(page(found)).tags if tag == "rect" and attrs.get("rx")]
    bars_of_faults = sorted(
        (bar for bar in bars if "recovery" not in (bar["class"] or "")), key=lambda bar: float(bar["x"] or 0)
    )
    assert [bar["class"] for bar in bars_of_faults] == [fault.kind for fault in found.faults]
    scale = float(bars_of_faults[0]["x"] or 0) / found.faults[0].began_s
    for bar, fault in zip(bars_of_faults, found.faults, strict=True):
        assert fault.ended_s is not None
        assert abs(float(bar["x"] or 0) - fault.began_s * scale) < 0.1
        assert abs(float(bar["width"] or 0) - (fault.ended_s - fault.began_s) * scale) < 0.1
    assert len({bar["y"] for bar in bars_of_faults}) == 4
    assert len(bars) == 8  # each has a paler one for the recovery


def test_page_of_a_broken_run_names_the_order_and_escapes_its_text() -> None:
    order = FINAL_ORDER.order
    assert order is not None
    stuck = replace(FINAL_ORDER, order=replace(order, status="<b>PROCESSING", outcome=None))
    text = page(figures(replace(OUTCOME, final_orders=[stuck])))
    read(text)
    assert "Not proven" in text
    assert "&lt;b&gt;PROCESSING" in text
    assert "<b>PROCESSING" not in text
    assert "autogrocery order show" in text


def test_run_without_any_fault_has_a_page(tmp_path: Path) -> None:
    bare = replace(figures(), faults=[], recovered=[], scenarios=[], invariants=[], metrics=None)
    write_html(bare, tmp_path / "page.html")
    assert any(text.startswith("Proven:") for text in read((tmp_path / "page.html").read_text()).texts)
    assert "PROVEN" in printed(bare)
