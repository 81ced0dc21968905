"""The end of a proof, for a person at a terminal and for a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console
from rich.table import Table

from autogrocery.lab.prove.page import write_html
from autogrocery.lab.prove.record import STEPS_OF
from autogrocery.lab.prove.words import PROVEN, percent, said, seconds, to_look_at
from autogrocery.lab.replay.report import BAD, GOOD

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.lab.prove.figures import Figures

MOST_SHOWN: Final = 15


def finish(figures: Figures, json_path: Path | None, html_path: Path | None, console: Console | None = None) -> int:
    """Print the figures, write them where they are wanted, and return the exit code: 0 only if everything held."""
    print_report(figures, console)
    if json_path is not None:
        write_json(figures, json_path)
    if html_path is not None:
        write_html(figures, html_path)
    return 0 if figures.ok else 1


def print_report(figures: Figures, console: Console | None = None) -> None:
    """Print the figures as tables, what was broken and how to look at it, and last of all the verdict."""
    console = console or Console()
    console.print(_orders(figures), _recovery(figures), _checks(figures))
    if figures.scenarios:
        console.print(_scenarios(figures))
    for violation in figures.violations[:MOST_SHOWN]:
        console.print(BAD.format("broken:"), said(violation), soft_wrap=True, markup=True)
    if len(figures.violations) > MOST_SHOWN:
        console.print(f"… and {len(figures.violations) - MOST_SHOWN} more")
    for line in to_look_at(figures):
        console.print(line, soft_wrap=True, markup=False)
    console.print(GOOD.format(f"PROVEN: {PROVEN}") if figures.ok else BAD.format("NOT PROVEN: see above"))


def write_json(figures: Figures, path: Path) -> None:
    """Write the same figures as one JSON document, in front those that are asked for most."""
    gets = figures.gets
    document = {
        "summary": {
            "ok": figures.ok,
            "kills": figures.struck("kill", "database"),
            "pauses": figures.struck("pause"),
            "weathers": figures.struck("weather"),
            "orders": sum(figures.orders.outcomes.values()),
            "violations": len(figures.violations),
            "lost_acknowledgements": figures.lost_acknowledgements,
            "recovery": figures.spread_of(),
            "recovery_by_target": {target: figures.spread_of(target) for target in STEPS_OF},
            "get_availability": gets.balanced.share,
            "get_availability_outside_database_downtime": gets.balanced_while_database_up.share,
            "get_availability_for_devices": gets.devices.share,
            "get_availability_for_devices_outside_database_downtime": gets.devices_while_database_up.share,
        },
        "figures": figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")


def _orders(figures: Figures) -> Table:
    title = f"seed {figures.seed}, {figures.minutes:g} min of disasters, {figures.source}"
    table = Table("what", "count", title=title, title_justify="left")
    table.add_row("killed", f"{figures.struck('kill')} processes, {figures.struck('database')} times the database")
    table.add_row("stopped for a while", str(figures.struck("pause")))
    table.add_row("spells of bad network", str(figures.struck("weather")))
    for outcome, count in figures.orders.outcomes.items():
        table.add_row(f"orders {outcome}", str(count))
    table.add_row("answers journalled (2xx)", str(figures.orders.told))
    table.add_row("calls without an answer", str(figures.orders.unanswered))
    return table


def _recovery(figures: Figures) -> Table:
    table = Table(
        "back at work after",
        "by",
        "count",
        "p50 s",
        "p99 s",
        "max s",
        title="from the end of the cause to the first success",
        title_justify="left",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for target, steps in STEPS_OF.items():
        if (spread := figures.spread_of(target)) is not None:
            table.add_row(target, steps[0], *seconds(spread))
    table.add_section()
    table.add_row("all", "", *seconds(figures.spread_of()))
    table.add_row("  with no other fault between", "", *seconds(figures.spread_of(undisturbed=True)))
    return table


def _checks(figures: Figures) -> Table:
    table = Table("check", "result")
    gets, metrics = figures.gets, figures.metrics
    outside = f"  outside {gets.database_down_s:.1f} s of database downtime"
    table.add_row("GETs by a balancer answered", percent(gets.balanced))
    table.add_row(outside, percent(gets.balanced_while_database_up))
    table.add_row("GETs by devices over a bad network answered", percent(gets.devices))
    table.add_row(outside, percent(gets.devices_while_database_up))
    broken = sum(one.violations > 0 for one in figures.invariants)
    table.add_row("invariants of both databases", f"{len(figures.invariants)}, violated {_zero(broken)}")
    if metrics is not None:
        table.add_row("status changes written, received", f"{metrics.written}, {metrics.received}")
    table.add_row("receipts", str(figures.receipts))
    if figures.supplied is not None:
        supplied = figures.supplied
        table.add_row("deliveries by trucks", f"{supplied.deliveries}, not ended {_zero(supplied.not_terminal)}")
        table.add_row(
            "  units received", f"{supplied.received:,} of {supplied.announced:,}, {supplied.damaged} damaged"
        )
    table.add_row("answers that proved untrue", _zero(figures.lost_acknowledgements))
    table.add_row("violations", _zero(len(figures.violations)))
    return table


def _scenarios(figures: Figures) -> Table:
    table = Table("scenario", "promise", "figures", "")
    for one in figures.scenarios:
        table.add_row(one.name, one.promise, one.told, GOOD.format("held") if one.ok else BAD.format("BROKEN"))
    return table


def _zero(count: int) -> str:
    return GOOD.format(0) if count == 0 else BAD.format(count)
