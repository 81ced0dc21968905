"""The report as one self-contained HTML page: no script, font or picture is loaded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from autogrocery.lab.prove import timeline
from autogrocery.lab.prove.formatting import (
    AVAILABILITY_GOAL,
    PROVEN_CLAIM,
    RECOVERY_GOAL_S,
    format_availability,
    format_violation,
    next_steps,
    quantile_cells,
)
from autogrocery.lab.prove.record import RECOVERY_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.prove.measurements import Quantiles

STYLE: Final = """
:root{color-scheme:light dark;--page:#f7f7f4;--card:#fff;--ink:#1d2022;--soft:#646b70;--line:#dfe0db;--good:#1a7f4b;
--bad:#c62f2f;
--kill:#d03b3b;--pause:#c98a00;--database:#7d4bc9;--network:#2a78d6;--plain:#8a9299}
@media(prefers-color-scheme:dark){:root{--page:#141617;--card:#1d2022;--ink:#eceeed;--soft:#9aa2a7;--line:#33383b;
--good:#4cc38a;
--bad:#ff6b6b;--kill:#f06a6a;--pause:#e0a92e;--database:#a981f0;--network:#5a9ef0;--plain:#79828a}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:16px;margin:0 0 12px}p{margin:0 0 8px}.soft,td.soft{color:var(--soft)}.good{color:var(--good)}
.bad{color:var(--bad)}
.verdict{border-left:5px solid;padding:2px 0 2px 16px;margin-bottom:22px}.verdict h1{color:inherit}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:16px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px;margin-bottom:16px}
.tile{margin:0;padding:12px 16px}.tile b{display:block;font-size:25px;font-weight:650;line-height:1.25;
font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}.two{display:grid;
grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:0 16px;align-items:start}
table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;font-weight:600;color:var(--soft);
font-size:12.5px}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
.n,.tight{white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}
.time{display:grid;grid-template-columns:190px minmax(0,1fr)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 14px;font-size:13px;color:var(--soft)}
.legend i{display:inline-block;width:18px;height:10px;border-radius:2px;margin-right:6px}
svg{display:block}.dots{margin-top:3px}.dots line,.row,.grid{stroke:var(--line)}.dots circle{fill:var(--network);
fill-opacity:.65}
text{font:12.5px system-ui,sans-serif;fill:var(--ink)}text.tick{font-size:11px;fill:var(--soft)}
.grid{stroke-dasharray:2 4}
rect.kill{fill:var(--kill)}rect.pause{fill:var(--pause)}rect.database{fill:var(--database)}
rect.network{fill:var(--network)}
rect.recovery{fill-opacity:.3}g.good{fill:var(--good)}g.plain{fill:var(--plain)}g.bad{fill:var(--bad)}
pre{white-space:pre-wrap;word-break:break-all;margin:10px 0 0;font-size:13px}summary{cursor:pointer;font-weight:600}
"""
KINDS: Final = {
    "kill": "process killed",
    "pause": "process paused (SIGSTOP, SIGCONT)",
    "database": "database killed or shut down immediately",
    "network": "network fault",
}


def write_html(figures: Figures, path: Path) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(figures), encoding="utf-8")


def page(figures: Figures) -> str:
    """Return the whole page."""
    parts = [
        _verdict(figures),
        _tiles(figures),
        _timeline(figures),
        '<div class="two">',
        _recovery(figures),
        _checks(figures),
        "</div>",
        _scenarios(figures),
        _invariants(figures),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>autogrocery prove</title>'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _verdict(figures: Figures) -> str:
    subtitle = f"seed {figures.seed} · {figures.minutes:g} min · {figures.began_at} · {escape(figures.source)}"
    if figures.ok:
        return f'<div class="verdict good"><h1>Proven: {PROVEN_CLAIM}</h1><p class="soft">{subtitle}</p></div>'
    violations = _table((), ((escape(format_violation(one)),) for one in figures.violations))
    commands = escape("\n".join(next_steps(figures)))
    return (
        f'<div class="verdict bad"><h1>Not proven: {len(figures.violations)} violations</h1>'
        f'<p class="soft">{subtitle}</p></div>'
        f'<section class="card">{violations}<pre>{commands}</pre></section>'
    )


def _tiles(figures: Figures) -> str:
    quantiles, gets = figures.quantiles_of(), figures.gets.balancer_while_database_up.share
    tiles = [
        (f"{figures.count_faults('kill', 'database')}", "processes and databases killed", ""),
        (f"{figures.count_faults('pause', 'network')}", "pauses and network faults", ""),
        (f"{sum(figures.orders.outcomes.values()):,}", "orders", ""),
        (f"{figures.orders.responses:,}", "responses checked against the end", ""),
        (
            "?" if quantiles is None else f"{quantiles.p99_s:.1f} s",
            "to recover, p99",
            "" if quantiles is None else _good(ok=quantiles.p99_s <= RECOVERY_GOAL_S),
        ),
        (
            "?" if gets is None else f"{gets:.2%}",
            "GETs answered while the database was up",
            "" if gets is None else _good(ok=gets >= AVAILABILITY_GOAL),
        ),
        (str(len(figures.violations)), "violations", _good(ok=figures.ok)),
    ]
    cards = "".join(
        f'<div class="card tile"><b class="{kind}">{value}</b><span>{what}</span></div>' for value, what, kind in tiles
    )
    return f'<div class="tiles">{cards}</div>'


def _timeline(figures: Figures) -> str:
    legend = "".join(f'<span><i style="background:var(--{kind})"></i>{what}</span>' for kind, what in KINDS.items())
    paler = '<span><i style="background:var(--plain);opacity:.35"></i>paler: ended, until the first success</span>'
    return (
        f'<section class="card"><h2>Faults, and the recovery from them</h2><p class="legend">{legend}{paler}</p>'
        f'<div class="time"><div>{timeline.labels()}</div>'
        f'<div class="wide">{timeline.picture(figures)}</div></div></section>'
    )


def _recovery(figures: Figures) -> str:
    counted = [one for one in figures.recovered if one.took_s is not None and one.step == RECOVERY_STEPS[one.target][0]]
    most_s = max((one.took_s or 0.0 for one in counted), default=0.0)

    def rows() -> Iterator[tuple[str, ...]]:
        for target, steps in RECOVERY_STEPS.items():
            times = [one.took_s or 0.0 for one in counted if one.target == target]
            if times:
                name = timeline.LABELS.get(target, target)
                yield (
                    *_name_and_quantiles(name, steps[0], figures.quantiles_of(target)),
                    timeline.dot_plot(times, most_s),
                )
        yield (*_name_and_quantiles("all", "", figures.quantiles_of()), "")
        yield (*_name_and_quantiles("without another fault meanwhile", "", figures.quantiles_of(undisturbed=True)), "")

    head = ("", "n:count", "n:p50 s", "n:p99 s", "n:max s", f"0 to {most_s:.1f} s")
    return (
        f'<section class="card"><h2>From the end of a fault to the first success</h2>{_table(head, rows())}</section>'
    )


def _name_and_quantiles(name: str, step: str, quantiles: Quantiles | None) -> tuple[str, ...]:
    return (
        f'<span class="tight">{escape(name)}</span><br><span class="soft">{escape(step)}</span>',
        *quantile_cells(quantiles),
    )


def _checks(figures: Figures) -> str:
    gets, metrics = figures.gets, figures.metrics
    violations = sum(one.violations > 0 for one in figures.invariants)
    outside = f"… outside {gets.database_down_s:.1f} s of database downtime"
    rows = [
        *((f"orders {escape(outcome)}", f"{count}") for outcome, count in figures.orders.outcomes.items()),
        ("calls without an answer", str(figures.orders.unanswered)),
        ("GETs through a balancer answered", format_availability(gets.balancer)),
        (outside, format_availability(gets.balancer_while_database_up)),
        ("GETs by devices, through network faults, answered", format_availability(gets.devices)),
        (outside, format_availability(gets.devices_while_database_up)),
        (
            "invariants that hold in both databases",
            f"{len(figures.invariants) - violations} of {len(figures.invariants)}",
        ),
        (
            "status changes written, received by analytics",
            "?" if metrics is None else f"{metrics.written}, {metrics.received}",
        ),
        ("receipts mailed", str(figures.receipts)),
        ("deliveries put away", str(figures.restocks.outcomes.get("RECEIVED", 0) if figures.restocks else 0)),
        ("2xx responses contradicted later", str(figures.lost_acknowledgements)),
    ]
    return f'<section class="card"><h2>Results</h2>{_table(("", "n:"), rows)}</section>'


def _scenarios(figures: Figures) -> str:
    if not figures.scenarios:
        return ""
    rows = (
        (
            escape(one.name),
            escape(one.promise),
            f'<span class="soft">{escape(one.summary)}</span>',
            f'<b class="{_good(ok=one.ok)}">{"held" if one.ok else "broken"}</b>',
        )
        for one in figures.scenarios
    )
    table = _table(("scenario", "promise", "figures", ""), rows)
    return f'<section class="card"><h2>Scenarios without network faults</h2>{table}</section>'


def _invariants(figures: Figures) -> str:
    rows = (
        (escape(one.name), f'<b class="{_good(ok=not one.violations)}">{one.violations}</b>')
        for one in figures.invariants
    )
    title = f"{len(figures.invariants)} invariants of both databases"
    table = _table(("", "n:violations"), rows)
    return f'<section class="card"><details><summary>{title}</summary>{table}</details></section>'


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; a heading that begins with `n:` is a numeric column. Cells are HTML."""
    kinds = ['class="n"' if title.startswith("n:") else "" for title in head]
    titles = "".join(
        f"<th {kind}>{escape(title.removeprefix('n:'))}</th>" for title, kind in zip(head, kinds, strict=True)
    )
    top = f"<tr>{titles}</tr>" if any(title not in ("", "n:") for title in head) else ""
    kinds = kinds or [""]
    body = "".join(
        f"<tr>{''.join(f'<td {kind}>{cell}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>" for row in rows
    )
    return f'<div class="wide"><table>{top}{body}</table></div>'


def _good(*, ok: bool) -> str:
    return "good" if ok else "bad"
