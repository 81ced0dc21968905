"""The report of a run: a table for a terminal, JSON for programs, a page for people."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table
from rich.text import Text

from autogrocery.lab.conformance.line import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from autogrocery.lab.conformance.line import Result
    from autogrocery.lab.conformance.run import Report

STYLES: Final = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.NOT_CHECKED: "yellow"}
CSS: Final = """:root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#cf222e;--soft:#777}
body{margin:0;font:15px/1.5 system-ui,sans-serif}main{max-width:980px;margin:0 auto;padding:24px 16px}
h1{font-size:22px;margin:0}p{margin:4px 0 16px;color:var(--soft)}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-bottom:1px solid var(--line)}
td:first-child,td:nth-child(2){white-space:nowrap}
.passed{color:var(--good)}.failed{color:var(--bad);font-weight:600}.not{color:var(--soft)}
pre{white-space:pre-wrap;word-break:break-all;font-size:13px;margin:6px 0 0}"""


def print_report(report: Report, console: Console) -> None:
    """Print the table, then what was asked and answered before each failure, then the verdict."""
    table = Table(title=f"{report.kind} at {report.target}", title_justify="left")
    for heading in ("line", "outcome", "promise", "s"):
        table.add_column(heading, no_wrap=heading != "promise", justify="right" if heading == "s" else "left")
    for result in report.results:
        promise = Text(result.promise)
        if result.outcome is Outcome.NOT_CHECKED:
            promise.append(f"\n{result.detail}", style="dim")
        outcome = Text(result.outcome, style=STYLES[result.outcome])
        table.add_row(result.line_id, outcome, promise, f"{result.took_s:.1f}")
    console.print(table)
    for result in report.results:
        if result.outcome is Outcome.FAILED:
            console.print(Text(f"{result.line_id} failed: {result.detail}", style="red"), soft_wrap=True)
            console.print(Text("\n".join(_evidence(result))), soft_wrap=True)
    style = "green" if report.ok else "bold red"
    console.print(Text(verdict(report), style=style), soft_wrap=True)


def verdict(report: Report) -> str:
    """Return the verdict in one line."""
    passed, failed, unchecked = (report.count(outcome) for outcome in Outcome)
    word = "CONFORMS" if report.ok else "DOES NOT CONFORM" if failed else "NOTHING WAS CHECKED"
    return f"{word}: {passed} passed, {failed} failed, {unchecked} not checked"


def write_json(report: Report, path: Path) -> None:
    """Write the report as one JSON document."""
    document = {
        "ok": report.ok,
        "kind": report.kind,
        "target": report.target,
        "passed": report.count(Outcome.PASSED),
        "failed": report.count(Outcome.FAILED),
        "not_checked": report.count(Outcome.NOT_CHECKED),
        "lines": report.results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")


def write_html(report: Report, path: Path) -> None:
    """Write the report as one page."""
    rows = "".join(_row(result) for result in report.results)
    title = escape(f"{report.kind} at {report.target}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>autogrocery conformance: {title}</title><style>{CSS}</style></head><body><main>"
        f"<h1>{escape(verdict(report))}</h1><p>{title}</p>"
        f"<table><tr><th>line<th>outcome<th>promise<th>s</tr>{rows}</table></main></body></html>\n",
        encoding="utf-8",
    )


def _row(result: Result) -> str:
    evidence = ""
    if result.outcome is Outcome.FAILED:
        evidence = f"<pre>{escape(chr(10).join(_evidence(result)))}</pre>"
    detail = f"<br><span class=not>{escape(result.detail)}</span>" if result.detail else ""
    kind = result.outcome.split(" ", maxsplit=1)[0]
    return (
        f"<tr><td>{escape(result.line_id)}<td class={kind}>{result.outcome}"
        f"<td>{escape(result.promise)}{detail}{evidence}<td>{result.took_s:.1f}</tr>"
    )


def _evidence(result: Result) -> list[str]:
    """Return the promise's page, and the last calls before the failure."""
    lines = [f"  promised in {result.link}"]
    for exchange in result.exchanges:
        lines += [f"  asked    {exchange.asked}", f"  answered {exchange.answered}"]
    return lines
