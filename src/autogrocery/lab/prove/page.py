"""The proof as one page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from autogrocery.lab.prove import timeline
from autogrocery.lab.prove.record import STEPS_OF
from autogrocery.lab.prove.words import AVAILABLE, LATE_S, PROVEN, percent, said, seconds, to_look_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from autogrocery.lab.prove.arithmetic import Spread
    from autogrocery.lab.prove.figures import Figures

STYLE: Final = """
:root{color-scheme:light dark;--page:#f7f7f4;--card:#fff;--ink:#1d2022;--soft:#646b70;--line:#dfe0db;--good:#1a7f4b;--bad:#c62f2f;
--kill:#d03b3b;--pause:#c98a00;--database:#7d4bc9;--weather:#2a78d6;--plain:#8a9299}
@media(prefers-color-scheme:dark){:root{--page:#141617;--card:#1d2022;--ink:#eceeed;--soft:#9aa2a7;--line:#33383b;--good:#4cc38a;
--bad:#ff6b6b;--kill:#f06a6a;--pause:#e0a92e;--database:#a981f0;--weather:#5a9ef0;--plain:#79828a}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:16px;margin:0 0 12px}p{margin:0 0 8px}.soft,td.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
.verdict{border-left:5px solid;padding:2px 0 2px 16px;margin-bottom:22px}.verdict h1{color:inherit}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:16px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px;margin-bottom:16px}
.tile{margin:0;padding:12px 16px}.tile b{display:block;font-size:25px;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:0 16px;align-items:start}
table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;font-weight:600;color:var(--soft);font-size:12.5px}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
.n,.tight{white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}.time{display:grid;grid-template-columns:190px minmax(0,1fr)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 14px;font-size:13px;color:var(--soft)}
.legend i{display:inline-block;width:18px;height:10px;border-radius:2px;margin-right:6px}
svg{display:block}.strip{margin-top:3px}.strip line,.lane,.grid{stroke:var(--line)}.strip circle{fill:var(--weather);fill-opacity:.65}
text{font:12.5px system-ui,sans-serif;fill:var(--ink)}text.tick{font-size:11px;fill:var(--soft)}.grid{stroke-dasharray:2 4}
rect.kill{fill:var(--kill)}rect.pause{fill:var(--pause)}rect.database{fill:var(--database)}rect.weather{fill:var(--weather)}
rect.felt{fill-opacity:.3}g.good{fill:var(--good)}g.plain{fill:var(--plain)}g.bad{fill:var(--bad)}
pre{white-space:pre-wrap;word-break:break-all;margin:10px 0 0;font-size:13px}summary{cursor:pointer;font-weight:600}
"""
KINDS: Final = {
    "kill": "process killed",
    "pause": "process stopped and continued",
    "database": "database killed or shut down at once",
    "weather": "bad network",
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
    told = f"seed {figures.seed} · {figures.minutes:g} min · {figures.began_at} · {escape(figures.source)}"
    if figures.ok:
        return f'<div class="verdict good"><h1>Proven: {PROVEN}</h1><p class="soft">{told}</p></div>'
    broken = _table((), ((escape(said(one)),) for one in figures.violations))
    commands = escape("\n".join(to_look_at(figures)))
    return (
        f'<div class="verdict bad"><h1>Not proven: {len(figures.violations)} violations</h1><p class="soft">{told}</p></div>'
        f'<section class="card">{broken}<pre>{commands}</pre></section>'
    )


def _tiles(figures: Figures) -> str:
    spread, gets = figures.spread_of(), figures.gets.balanced_while_database_up.share
    tiles = [
        (f"{figures.struck('kill', 'database')}", "processes and databases killed", ""),
        (f"{figures.struck('pause', 'weather')}", "stops and spells of bad network", ""),
        (f"{sum(figures.orders.outcomes.values()):,}", "orders", ""),
        (f"{figures.orders.told:,}", "answers kept and held against the end", ""),
        (
            "?" if spread is None else f"{spread.p99_s:.1f} s",
            "until at work again, p99",
            "" if spread is None else _good(ok=spread.p99_s <= LATE_S),
        ),
        (
            "?" if gets is None else f"{gets:.2%}",
            "GETs answered while the database was up",
            "" if gets is None else _good(ok=gets >= AVAILABLE),
        ),
        (str(len(figures.violations)), "violations", _good(ok=figures.ok)),
    ]
    cards = "".join(
        f'<div class="card tile"><b class="{kind}">{value}</b><span>{what}</span></div>' for value, what, kind in tiles
    )
    return f'<div class="tiles">{cards}</div>'


def _timeline(figures: Figures) -> str:
    legend = "".join(f'<span><i style="background:var(--{kind})"></i>{what}</span>' for kind, what in KINDS.items())
    paler = '<span><i style="background:var(--plain);opacity:.35"></i>paler: over, until the first success</span>'
    return (
        f'<section class="card"><h2>What was broken, and when it worked again</h2><p class="legend">{legend}{paler}</p>'
        f'<div class="time"><div>{timeline.labels()}</div><div class="wide">{timeline.picture(figures)}</div></div></section>'
    )


def _recovery(figures: Figures) -> str:
    counted = [one for one in figures.recovered if one.took_s is not None and one.step == STEPS_OF[one.target][0]]
    most_s = max((one.took_s or 0.0 for one in counted), default=0.0)

    def rows() -> Iterator[tuple[str, ...]]:
        for target, steps in STEPS_OF.items():
            times = [one.took_s or 0.0 for one in counted if one.target == target]
            if times:
                name = timeline.LABELS.get(target, target)
                yield (*_named(name, steps[0], figures.spread_of(target)), timeline.strip(times, most_s))
        yield (*_named("all", "", figures.spread_of()), "")
        yield (*_named("with no other fault between", "", figures.spread_of(undisturbed=True)), "")

    head = ("", "n:count", "n:p50 s", "n:p99 s", "n:max s", f"0 to {most_s:.1f} s")
    return (
        f'<section class="card"><h2>From the end of the cause to the first success</h2>{_table(head, rows())}</section>'
    )


def _named(name: str, step: str, spread: Spread | None) -> tuple[str, ...]:
    return (f'<span class="tight">{escape(name)}</span><br><span class="soft">{escape(step)}</span>', *seconds(spread))


def _checks(figures: Figures) -> str:
    gets, metrics = figures.gets, figures.metrics
    broken = sum(one.violations > 0 for one in figures.invariants)
    outside = f"… outside {gets.database_down_s:.1f} s of database downtime"
    rows = [
        *((f"orders {escape(outcome)}", f"{count}") for outcome, count in figures.orders.outcomes.items()),
        ("calls without an answer", str(figures.orders.unanswered)),
        ("GETs by a balancer answered", percent(gets.balanced)),
        (outside, percent(gets.balanced_while_database_up)),
        ("GETs by devices over a bad network answered", percent(gets.devices)),
        (outside, percent(gets.devices_while_database_up)),
        ("invariants that hold in both databases", f"{len(figures.invariants) - broken} of {len(figures.invariants)}"),
        (
            "status changes written, received by analytics",
            "?" if metrics is None else f"{metrics.written}, {metrics.received}",
        ),
        ("receipts mailed", str(figures.receipts)),
        ("deliveries put away", str(figures.supplied.outcomes.get("RECEIVED", 0) if figures.supplied else 0)),
        ("answers that proved untrue", str(figures.lost_acknowledgements)),
    ]
    return f'<section class="card"><h2>What came of it</h2>{_table(("", "n:"), rows)}</section>'


def _scenarios(figures: Figures) -> str:
    if not figures.scenarios:
        return ""
    rows = (
        (
            escape(one.name),
            escape(one.promise),
            f'<span class="soft">{escape(one.told)}</span>',
            f'<b class="{_good(ok=one.ok)}">{"held" if one.ok else "broken"}</b>',
        )
        for one in figures.scenarios
    )
    return f'<section class="card"><h2>Races on a calm network</h2>{_table(("scenario", "promise", "figures", ""), rows)}</section>'


def _invariants(figures: Figures) -> str:
    rows = (
        (escape(one.name), f'<b class="{_good(ok=not one.violations)}">{one.violations}</b>')
        for one in figures.invariants
    )
    title = f"{len(figures.invariants)} invariants of both databases"
    return f'<section class="card"><details><summary>{title}</summary>{_table(("", "n:violations"), rows)}</details></section>'


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; a heading that begins with `n:` is a column of numbers. Cells are HTML already."""
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
