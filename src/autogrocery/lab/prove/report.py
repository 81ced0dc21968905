"""The report of a `prove` run: tables for a terminal, one JSON document for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.table import Table

from autogrocery.lab.console import PipeConsole
from autogrocery.lab.prove.formatting import (
    PROVEN_CLAIM,
    format_availability,
    format_violation,
    next_steps,
    quantile_cells,
)
from autogrocery.lab.prove.page import write_html
from autogrocery.lab.prove.record import RECOVERY_STEPS
from autogrocery.lab.replay.report import BAD, GOOD, facts_result

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from autogrocery.lab.prove.figures import Figures

MAX_SHOWN: Final = 15


def finish(figures: Figures, json_path: Path | None, html_path: Path | None, console: Console | None = None) -> int:
    """Print the figures, write the requested files, and return the exit code: 0 only if there is no violation."""
    print_report(figures, console)
    if json_path is not None:
        write_json(figures, json_path)
    if html_path is not None:
        write_html(figures, html_path)
    return 0 if figures.ok else 1


def print_report(figures: Figures, console: Console | None = None) -> None:
    """Print the figures as tables, the violations and how to inspect them, and finally the verdict."""
    console = console or PipeConsole()
    console.print(_orders(figures), _recovery(figures), _checks(figures))
    if figures.scenarios:
        console.print(_scenarios(figures))
    for violation in figures.violations[:MAX_SHOWN]:
        console.print(BAD.format("broken:"), format_violation(violation), soft_wrap=True, markup=True)
    if len(figures.violations) > MAX_SHOWN:
        console.print(f"… and {len(figures.violations) - MAX_SHOWN} more")
    for line in next_steps(figures):
        console.print(line, soft_wrap=True, markup=False)
    console.print(GOOD.format(f"PROVEN: {PROVEN_CLAIM}") if figures.ok else BAD.format("NOT PROVEN: see above"))


def write_json(figures: Figures, path: Path) -> None:
    """Write the figures as one JSON document, with the most used ones in `summary`."""
    gets = figures.gets
    document = {
        "summary": {
            "ok": figures.ok,
            "kills": figures.count_faults("kill", "database"),
            "pauses": figures.count_faults("pause"),
            "network_faults": figures.count_faults("network"),
            "orders": sum(figures.orders.outcomes.values()),
            "violations": len(figures.violations),
            "lost_acknowledgements": figures.lost_acknowledgements,
            "recovery": figures.quantiles_of(),
            "recovery_by_target": {target: figures.quantiles_of(target) for target in RECOVERY_STEPS},
            "get_availability": gets.balancer.share,
            "get_availability_outside_database_downtime": gets.balancer_while_database_up.share,
            "get_availability_for_devices": gets.devices.share,
            "get_availability_for_devices_outside_database_downtime": gets.devices_while_database_up.share,
        },
        "figures": figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")


def _orders(figures: Figures) -> Table:
    title = f"seed {figures.seed}, {figures.minutes:g} min of faults, {figures.source}"
    table = Table("what", "count", title=title, title_justify="left")
    table.add_row(
        "killed", f"{figures.count_faults('kill')} processes, {figures.count_faults('database')} database crashes"
    )
    table.add_row("processes paused", str(figures.count_faults("pause")))
    table.add_row("network faults", str(figures.count_faults("network")))
    for outcome, count in figures.orders.outcomes.items():
        table.add_row(f"orders {outcome}", str(count))
    table.add_row("2xx responses journalled", str(figures.orders.responses))
    table.add_row("calls without an answer", str(figures.orders.unanswered))
    return table


def _recovery(figures: Figures) -> Table:
    table = Table(
        "recovered from a fault of",
        "by",
        "count",
        "p50 s",
        "p99 s",
        "max s",
        title="from the end of a fault to the first success",
        title_justify="left",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for target, steps in RECOVERY_STEPS.items():
        if (quantiles := figures.quantiles_of(target)) is not None:
            table.add_row(target, steps[0], *quantile_cells(quantiles))
    table.add_section()
    table.add_row("all", "", *quantile_cells(figures.quantiles_of()))
    table.add_row("  without another fault meanwhile", "", *quantile_cells(figures.quantiles_of(undisturbed=True)))
    return table


def _checks(figures: Figures) -> Table:
    table = Table("check", "result")
    gets, metrics = figures.gets, figures.metrics
    outside = f"  outside {gets.database_down_s:.1f} s of database downtime"
    table.add_row("GETs through a balancer answered", format_availability(gets.balancer))
    table.add_row(outside, format_availability(gets.balancer_while_database_up))
    table.add_row("GETs by devices, through network faults, answered", format_availability(gets.devices))
    table.add_row(outside, format_availability(gets.devices_while_database_up))
    violations = sum(one.violations > 0 for one in figures.invariants)
    table.add_row("invariants of both databases", f"{len(figures.invariants)}, violated {_zero(violations)}")
    if metrics is not None:
        table.add_row("status changes written, received", f"{metrics.written}, {metrics.received}")
    if figures.facts is not None:
        table.add_row("facts", facts_result(figures.facts))
    table.add_row("receipts", str(figures.receipts))
    if figures.restocks is not None:
        restocks = figures.restocks
        table.add_row("deliveries by trucks", f"{restocks.deliveries}, not finished {_zero(restocks.not_terminal)}")
        table.add_row(
            "  units received", f"{restocks.received:,} of {restocks.announced:,}, {restocks.damaged} damaged"
        )
    table.add_row("2xx responses contradicted later", _zero(figures.lost_acknowledgements))
    table.add_row("violations", _zero(len(figures.violations)))
    return table


def _scenarios(figures: Figures) -> Table:
    table = Table("scenario", "promise", "figures", "")
    for one in figures.scenarios:
        table.add_row(one.name, one.promise, one.summary, GOOD.format("held") if one.ok else BAD.format("BROKEN"))
    return table


def _zero(count: int) -> str:
    return GOOD.format(0) if count == 0 else BAD.format(count)
