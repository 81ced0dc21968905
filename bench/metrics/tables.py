"""The tables of `make bench-metrics`, and its goals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.cells import ResultTable
from bench.goals import GOAL_HEAD, GOALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.metrics.record import MetricsRecord

PACK_US: Final = 1.5
SEND_US: Final = 4.0
SHARE_AT_5000: Final = 0.025
FACTS_PER_S: Final = 50_000
RSS_DRIFT: Final = 0.10
FACT_BYTES: Final = 40
DAY_S: Final = 2.0


def metrics_tables(record: MetricsRecord) -> Iterator[ResultTable]:
    """Yield the goals, then every table."""
    yield ResultTable(f"{GOALS} of the metrics' way", GOAL_HEAD, list(_goals(record)))
    yield ResultTable(
        "A metric's steps, each alone", ("step", "CPU µs"), [(one.name, f"{one.us:.2f}") for one in record.stages]
    )
    yield ResultTable(
        "The gateway's side: state, pack and send, ZeroMQ's thread included",
        ("subscribers", "metrics/s", "CPU µs", "dropped"),
        [(str(one.subscribers), f"{one.rate:,.0f}", f"{one.us:.1f}", str(one.dropped)) for one in record.sending],
    )
    yield ResultTable(
        "The whole chain at a rate: shares of one core",
        ("metrics/s", "gateway's side", "analytics", "sent", "stored", "dropped"),
        [
            (
                f"{one.rate:,.0f}",
                f"{one.publisher_share:.1%}",
                f"{one.analytics_share:.1%}",
                f"{one.sent:,}",
                f"{one.stored:,}",
                str(one.dropped),
            )
            for one in record.paced
        ],
    )
    one = record.saturated
    yield ResultTable(
        "The whole chain as fast as the store takes it",
        ("stored", "metrics/s", "gateway's side, CPU µs", "analytics, CPU µs", "analytics' RSS MiB"),
        [
            (
                f"{one.stored:,} of {one.sent:,}",
                f"{one.per_s:,.0f}",
                f"{one.publisher_us:.1f}",
                f"{one.analytics_us:.1f}",
                f"{one.rss_first_mib:.0f} → {one.rss_last_mib:.0f}",
            )
        ],
    )
    yield ResultTable(
        "The store, with generated facts of 100 days",
        ("facts", "bytes a fact", "of its minutes", "report of a day, s", "of a week, s"),
        [
            (
                f"{one.facts:,}",
                f"{one.facts_bytes:.1f}",
                f"{one.minutes_bytes:.2f}",
                f"{one.day_s:.2f}",
                f"{one.week_s:.2f}",
            )
            for one in record.stores
        ],
    )


def _goals(record: MetricsRecord) -> Iterator[tuple[str, ...]]:
    pack = next(one.us for one in record.stages if one.name.startswith("pack: our"))
    yield _goal("pack, CPU µs", f"≤ {PACK_US}", f"{pack:.2f}", reached=pack <= PACK_US)
    for one in record.sending:
        if one.subscribers == 1:
            yield _goal("pack and send to one, CPU µs", f"≤ {SEND_US}", f"{one.us:.1f}", reached=one.us <= SEND_US)
    for paced in record.paced:
        if paced.rate == 5_000:  # noqa: PLR2004 - the goal's rate
            share = paced.publisher_share
            yield _goal(
                "5,000/s: share of a core at the gateway",
                f"≤ {SHARE_AT_5000:.1%}",
                f"{share:.1%}",
                reached=share <= SHARE_AT_5000,
            )
    full = record.saturated
    yield _goal("facts/s sustained", f"≥ {FACTS_PER_S:,}", f"{full.per_s:,.0f}", reached=full.per_s >= FACTS_PER_S)
    drift = full.rss_last_mib / full.rss_first_mib - 1 if full.rss_first_mib else 0.0
    yield _goal("memory meanwhile", f"± {RSS_DRIFT:.0%}", f"{drift:+.0%}", reached=abs(drift) <= RSS_DRIFT)
    largest = record.stores[-1]
    yield _goal(
        "bytes a fact on disk",
        f"≤ {FACT_BYTES}",
        f"{largest.facts_bytes + largest.minutes_bytes:.1f}",
        reached=largest.facts_bytes + largest.minutes_bytes <= FACT_BYTES,
    )
    yield _goal(
        f"a day's report over {largest.facts:,} facts, s",
        f"≤ {DAY_S:g}",
        f"{largest.day_s:.2f}",
        reached=largest.day_s <= DAY_S,
    )


def _goal(figure: str, goal: str, measured: str, *, reached: bool) -> tuple[str, ...]:
    return figure, goal, measured, "yes" if reached else "no"
