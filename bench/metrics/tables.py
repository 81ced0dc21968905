"""The figures of a metric as tables, with their goals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.cells import ResultTable
from bench.goals import GOAL_HEAD, Goal, at_least, at_most, below
from bench.metrics.gateway import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.metrics.record import MetricsRecord

METRICS_GOALS: Final = "Goals of metrics and analytics"
PACK_US, SEND_US = 1.5, 4.0
RATE, SHARE = 5_000, 0.025
FACTS_PER_S, GROWTH = 50_000, 0.1
DAY_REPORT_S, BYTES = 2.0, 40.0
P99_SHIFT, GROWN_MIB = 0.1, 50.0


def metrics_goals(record: MetricsRecord) -> Iterator[Goal]:
    """Yield each goal of the order for analytics whose figure was measured."""
    (one,) = (found for found in record.sending if found.subscribers == 1)
    yield at_most("pack a metric, CPU µs", record.costs["pack"], PACK_US, ".2f")
    yield at_most(
        "make, pack and send a metric, one subscriber, CPU µs of the gateway's thread", one.thread_us, SEND_US, ".1f"
    )
    (pace,) = (found for found in record.paces if found.rate == RATE)
    yield at_most(f"publisher at {RATE:,} metrics/s, share of a core, all threads", pace.publisher_share, SHARE, ".1%")
    yield at_least("engine at saturation, facts/s stored", record.saturation.facts_per_s, FACTS_PER_S, ",.0f")
    yield at_most(
        "engine's resident memory, growth after a quarter of the run", record.saturation.growth, GROWTH, "+.0%"
    )
    most = max(record.storage, key=lambda found: found.facts)
    yield at_most(f"report of a day over {most.facts:,} facts, s", most.day_report_s, DAY_REPORT_S, ".2f")
    yield at_most("bytes of a fact on disk, minutes included", most.bytes_with_minutes, BYTES, ".1f")
    alone = [found for found in record.audiences if found.name == NOBODY]
    others = [found for found in record.audiences if found.name != NOBODY]
    if others:
        usual_ms = sum(found.confirm_p99_ms for found in alone) / len(alone)
        for found in others:
            shift = found.confirm_p99_ms / usual_ms - 1.0
            yield below(f"p99 of a confirm, moved by {found.name}", shift, P99_SHIFT, "+.0%")
        yield below(
            "gateway's resident memory, growth in any run, MiB",
            max(found.grown_mib for found in others),
            GROWN_MIB,
            ".0f",
        )
        missing = sum(found.missing_facts or 0 for found in others)
        yield at_most("status changes that the engine lacks at the end", missing, 0, ".0f")


def metrics_tables(record: MetricsRecord) -> Iterator[ResultTable]:
    """Yield the goals, then all figures."""
    yield ResultTable(METRICS_GOALS, GOAL_HEAD, [goal.row for goal in metrics_goals(record)])
    yield ResultTable(
        "CPU of each step of a metric, alone",
        ("step", "µs"),
        [(name, f"{us:.2f}") for name, us in record.costs.items()],
    )
    yield ResultTable(
        "Make, pack and send, by subscribers",
        ("subscribers", "µs, gateway's thread", "µs, with ZeroMQ's thread", "one call, elapsed p99 µs"),
        [
            (str(one.subscribers), f"{one.thread_us:.1f}", f"{one.cpu_us:.1f}", f"{one.p99_us:.0f}")
            for one in record.sending
        ],
    )
    full = record.saturation
    yield ResultTable(
        "Publisher and engine at saturation",
        ("facts", "facts/s", "publisher µs", "engine µs", "engine MiB, first quarter … most", "dropped"),
        [
            (
                f"{full.facts:,}",
                f"{full.facts_per_s:,.0f}",
                f"{full.publisher_us:.1f}",
                f"{full.engine_us:.1f}",
                f"{full.rss_mib[len(full.rss_mib) // 4]:.0f} … {max(full.rss_mib):.0f}",
                f"{full.dropped:,}",
            )
        ],
    )
    yield ResultTable(
        "Share of a core at an even pace",
        ("metrics/s", "publisher, all threads", "engine, all threads"),
        [(f"{one.rate:,.0f}", f"{one.publisher_share:.1%}", f"{one.engine_share:.1%}") for one in record.paces],
    )
    yield from storage_tables(record)
    if record.audiences:
        yield ResultTable(
            "A gateway and its audience",
            ("subscribers", "orders", "confirm p50 / p99 ms", "memory, MiB", "growth, MiB"),
            [
                (
                    one.name,
                    f"{one.orders:,}",
                    f"{one.confirm_p50_ms:.1f} / {one.confirm_p99_ms:.1f}",
                    f"{one.rss_mib:.0f}",
                    f"{one.grown_mib:+.1f}",
                )
                for one in record.audiences
            ],
        )


def storage_tables(record: MetricsRecord) -> Iterator[ResultTable]:
    """Yield size on disk and the time of reports."""
    yield ResultTable(
        "Generated facts: a year of four marts",
        (
            "facts",
            "bytes a fact",
            "with minutes",
            "rows of minutes",
            "day's report, s",
            "week's",
            "first of a process",
            "most MiB",
        ),
        [
            (
                f"{one.facts:,}",
                f"{one.bytes_of_fact:.1f}",
                f"{one.bytes_with_minutes:.1f}",
                f"{one.minutes_rows:,}",
                f"{one.day_report_s:.2f}",
                f"{one.week_report_s:.2f}",
                f"{one.first_day_report_s:.2f}",
                f"{one.rss_mib:,.0f}",
            )
            for one in record.storage
        ],
    )
    largest = max(record.storage, key=lambda found: found.facts)
    yield ResultTable(
        f"Bytes of a fact by column, {largest.facts:,} facts",
        ("column", "bytes"),
        [(name, f"{size:.2f}") for name, size in largest.columns.items()],
    )
