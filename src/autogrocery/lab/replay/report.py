"""The end of a replay, for a person and for a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.lab.replay.figures import Beside, Figures
    from autogrocery.lab.replay.supplied import Supplied

MOST_SHOWN: Final = 10
UNKNOWN: Final = "refused: unknown_sku"
GOOD: Final = "[green]{}[/green]"
BAD: Final = "[bold red]{}[/bold red]"


def print_report(figures: Figures, console: Console | None = None) -> None:
    """Print the figures as tables, and last of all, in one line, whether all is well."""
    console = console or Console()
    console.print(_orders(figures), _steps(figures), _robots(figures))
    if figures.beside.supplied is not None:
        console.print(_trucks(figures.beside, figures.beside.supplied))
    console.print(_checks(figures))
    for violation in figures.broken_promises[:MOST_SHOWN]:
        console.print(BAD.format("broken:"), f"{violation.promise} · order {violation.order_id} · {violation.told}")
    for invariant in figures.audit.invariants if figures.audit is not None else ():
        if invariant.violations:
            told = f"{invariant.name}: {invariant.violations}, e.g. {invariant.examples[:3]}"
            console.print(BAD.format("violated:"), told)
    if UNKNOWN in figures.outcomes:
        console.print(
            f"{UNKNOWN}: the shelves must hold what these baskets name, as `autogrocery stock load --demo` sees to for seed 1"
        )
    verdict = "every order terminal, every promise kept, audit clean" if _audited(figures) else "every order terminal"
    console.print(GOOD.format(verdict) if figures.ok else BAD.format("NOT CLEAN: see above"))


def write_json(figures: Figures, path: Path) -> None:
    """Write the same figures as one JSON document."""
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
    table.add_row("revenue", f"{figures.revenue_cents / 100:,.2f} {figures.currency or ''}")
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
    table = Table("robots", "went", "orders", "lines", "orders by robot")
    for share in figures.robot_classes:
        each = [robot for robot in figures.robots if robot.robot_class == share.robot_class]
        busiest = sorted(each, key=lambda robot: -robot.orders)[:4]
        told = ", ".join(f"{robot.robot_id} {robot.orders}" for robot in busiest)
        more = f", {len(each) - len(busiest)} more" if len(each) > len(busiest) else ""
        table.add_row(share.robot_class, str(share.robots), str(share.orders), str(share.lines), told + more)
    return table


def _trucks(beside: Beside, supplied: Supplied) -> Table:
    table = Table("trucks", "count")
    outcomes = ", ".join(f"{outcome} {count}" for outcome, count in supplied.outcomes.items())
    table.add_row("deliveries", f"{supplied.deliveries} ({outcomes})" if outcomes else "0")
    table.add_row("units announced", f"{supplied.announced:,}")
    table.add_row(
        "units received",
        f"{supplied.received:,} ({supplied.short} short, {supplied.over} over, {supplied.damaged} damaged)",
    )
    if beside.opening_units is not None and beside.left_units is not None:
        table.add_row("units on the shelves", f"{beside.opening_units:,} at first, {beside.left_units:,} at the end")
    in_vain = f", {supplied.came_back_in_vain} in vain" if supplied.came_back_in_vain else ""
    table.add_row("customers who came again", f"{supplied.came_back} after an empty shelf{in_vain}")
    return table


def _checks(figures: Figures) -> Table:
    table = Table("check", "result")
    table.add_row("orders not terminal", _zero(figures.not_terminal))
    table.add_row("calls without an answer", _zero(figures.unanswered))
    if figures.beside.supplied is not None:
        table.add_row("deliveries not terminal", _zero(figures.beside.supplied.not_terminal))
    if figures.beside.receipts is not None:
        table.add_row("receipts", _of(figures.beside.receipts, figures.outcomes.get("COMPLETED", 0)))
    if figures.beside.deaths is not None:
        table.add_row(
            "robots that died at work", f"{figures.beside.deaths.died}, {figures.beside.deaths.returned} came back"
        )
    table.add_row("answers journalled", str(figures.told))
    table.add_row("promises broken", _zero(len(figures.broken_promises)))
    table.add_row("audit", _audit_result(figures))
    metrics = figures.metrics
    if metrics is None:
        table.add_row("metrics", "not seen")
        return table
    table.add_row(
        "metrics received", f"{metrics.received} for {metrics.changes} changes (this run: {figures.metrics_expected})"
    )
    table.add_row("metric gaps", f"{_zero(metrics.gaps_open)} open, {metrics.gaps_recovered} recovered")
    table.add_row("metrics invalid", _zero(metrics.invalid))
    durations = {name: value for name, value in metrics.duration_ms.items() if name != "count" and value is not None}
    if durations:
        told = ", ".join(f"{name} {value:,.0f} ms" for name, value in durations.items())
        table.add_row("confirm to end, as analytics saw it", told)
    return table


def _audit_result(figures: Figures) -> str:
    if figures.audit is None:
        return "not asked"
    count = len(figures.audit.invariants)
    return GOOD.format(f"clean, {count} invariants") if figures.audit.clean else BAD.format("violated")


def _of(count: int, expected: int) -> str:
    told = f"{count} for {expected} completed orders"
    return GOOD.format(told) if count == expected else BAD.format(told)


def _zero(count: int) -> str:
    return GOOD.format(0) if count == 0 else BAD.format(count)
