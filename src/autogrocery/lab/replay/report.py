"""The report of a replay: tables for a terminal, one JSON document for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table

from autogrocery.contracts.money import format_amount
from autogrocery.lab.console import PipeConsole

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from autogrocery.lab.replay.fact_check import FactCheck
    from autogrocery.lab.replay.figures import Figures, OtherFigures
    from autogrocery.lab.replay.restock_figures import RestockFigures

MOST_SHOWN: Final = 10
UNKNOWN: Final = "refused: unknown_sku"
GOOD: Final = "[green]{}[/green]"
BAD: Final = "[bold red]{}[/bold red]"


def print_report(figures: Figures, console: Console | None = None) -> None:
    """Print the figures as tables, the violations, and finally one line that says whether all checks passed."""
    console = console or PipeConsole()
    console.print(_orders(figures), _steps(figures), _robots(figures))
    if figures.other.restocks is not None:
        console.print(_trucks(figures.other, figures.other.restocks))
    console.print(_checks(figures))
    for violation in figures.violations[:MOST_SHOWN]:
        console.print(BAD.format("broken:"), f"{violation.promise} · order {violation.order_id} · {violation.detail}")
    for invariant in figures.audit.invariants if figures.audit is not None else ():
        if invariant.violations:
            text = f"{invariant.name}: {invariant.violations}, e.g. {invariant.examples[:3]}"
            console.print(BAD.format("violated:"), text)
    if UNKNOWN in figures.outcomes:
        console.print(
            f"{UNKNOWN}: these products must be in stock first;"
            " `autogrocery stock load --demo` loads those of the baskets of seed 1"
        )
    verdict = "every order terminal, every promise kept, audit clean" if _audited(figures) else "every order terminal"
    if (facts := figures.other.facts) is not None:
        verdict += ", facts exact" if facts.facts is not None else ", facts only counted"
    console.print(GOOD.format(verdict) if figures.ok else BAD.format("NOT CLEAN: see above"))


def write_json(figures: Figures, path: Path) -> None:
    """Write the figures as one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


def _audited(figures: Figures) -> bool:
    return figures.audit is not None and figures.audit.clean


def _orders(figures: Figures) -> Table:
    title = f"{figures.orders_asked} baskets ({figures.source}), {figures.devices} devices"
    table = Table("orders", "count", title=title, title_justify="left")
    for outcome, count in figures.outcomes.items():
        split = f" ({figures.completed_full} full, {figures.completed_partial} partial)"
        table.add_row(outcome, f"{count}{split if outcome == 'COMPLETED' else ''}")
    share = f", {figures.short_lines / figures.lines:.1%} of {figures.lines}" if figures.lines else ""
    table.add_row("lines picked short", f"{figures.short_lines}{share}")
    table.add_row("revenue", format_amount(figures.revenue_cents, figures.currency or "", grouped=True))
    table.add_row("pace", f"{figures.orders_per_s} orders/s, {figures.took_s:.1f} s to the end of the last order")
    return table


def _steps(figures: Figures) -> Table:
    table = Table("step", "count", "p50 ms", "p99 ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for step, took in figures.steps.items():
        table.add_row(step, str(took.count), f"{took.p50_ms:,.1f}", f"{took.p99_ms:,.1f}")
    return table


def _robots(figures: Figures) -> Table:
    table = Table("robots", "used", "orders", "lines", "orders by robot")
    for share in figures.robot_classes:
        each = [robot for robot in figures.robots if robot.robot_class == share.robot_class]
        busiest = sorted(each, key=lambda robot: -robot.orders)[:4]
        text = ", ".join(f"{robot.robot_id} {robot.orders}" for robot in busiest)
        more = f", {len(each) - len(busiest)} more" if len(each) > len(busiest) else ""
        table.add_row(share.robot_class, str(share.robots), str(share.orders), str(share.lines), text + more)
    return table


def _trucks(other: OtherFigures, restocks: RestockFigures) -> Table:
    table = Table("trucks", "count")
    outcomes = ", ".join(f"{outcome} {count}" for outcome, count in restocks.outcomes.items())
    table.add_row("deliveries", f"{restocks.deliveries} ({outcomes})" if outcomes else "0")
    table.add_row("units announced", f"{restocks.announced:,}")
    table.add_row(
        "units received",
        f"{restocks.received:,} ({restocks.short} short, {restocks.over} over, {restocks.damaged} damaged)",
    )
    if other.opening_units is not None and other.left_units is not None:
        table.add_row("units on the shelves", f"{other.opening_units:,} at first, {other.left_units:,} at the end")
    in_vain = f", {restocks.returning_in_vain} in vain" if restocks.returning_in_vain else ""
    table.add_row("customers who returned", f"{restocks.returning_customers} after finding goods out of stock{in_vain}")
    return table


def _checks(figures: Figures) -> Table:
    table = Table("check", "result")
    table.add_row("orders not terminal", _zero(figures.not_terminal))
    table.add_row("calls without an answer", _zero(figures.unanswered))
    if figures.other.restocks is not None:
        table.add_row("deliveries not terminal", _zero(figures.other.restocks.not_terminal))
    if figures.other.receipts is not None:
        table.add_row("receipts", _of(figures.other.receipts, figures.outcomes.get("COMPLETED", 0)))
    if figures.other.robot_deaths is not None:
        table.add_row(
            "robots that died at work",
            f"{figures.other.robot_deaths.died}, {figures.other.robot_deaths.returned} returned",
        )
    table.add_row("2xx responses journalled", str(figures.responses))
    for name, times in figures.other.killed.items():
        table.add_row(f"{name} killed", f"{times} times, back each time")
    table.add_row("promises violated", _zero(len(figures.violations)))
    table.add_row("audit", _audit_result(figures))
    if figures.other.facts is not None:
        table.add_row("facts", facts_result(figures.other.facts))
    metrics = figures.metrics
    if metrics is None:
        table.add_row("metrics", "not read")
        return table
    table.add_row(
        "metrics received",
        f"{metrics.received} for {metrics.changes} status changes (this run: {figures.metrics_expected})",
    )
    table.add_row("metric gaps", f"{_zero(metrics.gaps_open)} open, {metrics.gaps_recovered} recovered")
    table.add_row("metrics invalid", _zero(metrics.invalid))
    durations = {name: value for name, value in metrics.duration_ms.items() if name != "count" and value is not None}
    if durations:
        text = ", ".join(f"{name} {value:,.0f} ms" for name, value in durations.items())
        table.add_row("confirm to end, measured by analytics", text)
    return table


def facts_result(facts: FactCheck) -> str:
    """Return in words whether the stored facts are exactly the status changes in the database."""
    if facts.facts is None:
        return f"only counted: {facts.counted:,}; stored with pip install 'autogrocery\\[analytics]'"
    if facts.exact:
        return GOOD.format(f"{facts.facts:,} stored = {facts.history:,} status changes in the database")
    which = "" if facts.same_changes else ", and not the same ones"
    return BAD.format(f"{facts.facts:,} stored, {facts.counted:,} in figures, {facts.history:,} in the database{which}")


def _audit_result(figures: Figures) -> str:
    if figures.audit is None:
        return "not asked"
    count = len(figures.audit.invariants)
    return GOOD.format(f"clean, {count} invariants") if figures.audit.clean else BAD.format("violated")


def _of(count: int, expected: int) -> str:
    text = f"{count} for {expected} completed orders"
    return GOOD.format(text) if count == expected else BAD.format(text)


def _zero(count: int) -> str:
    return GOOD.format(0) if count == 0 else BAD.format(count)
