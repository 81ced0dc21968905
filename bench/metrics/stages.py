"""The steps of a metric's way, each alone in this process: CPU µs for one metric."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import flatbuffers

from autogrocery.analytics.core.batch import Batch
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.core.facts import fact_of
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.schema import Retention
from autogrocery.contracts.analytics.metric import OrderMetric, decode, encode
from autogrocery.contracts.analytics.v1 import order_metric_generated as generated
from autogrocery.gateway.peers.metrics import Metrics, metric_of
from bench.metrics.changes import changes
from bench.metrics.record import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TIMES: Final = 60_000
BATCH: Final = 5_000
FOREVER: Final = Retention(3_650, 3_650)
NO_PUBLISHER: Any = None


def per_item_us(items: Iterable[Any], work: Callable[[Any], object]) -> float:
    """Return the CPU µs of `work` for one of the items, the loop included."""
    kept = list(items)
    began = time.process_time()
    for item in kept:
        work(item)
    return (time.process_time() - began) / len(kept) * 1e6


def build_officially(metric: OrderMetric) -> bytes:
    """Return the metric as the official builder writes it, with the generated code of the schema."""
    builder = flatbuffers.Builder(256)
    order_id, status = builder.CreateString(metric.order_id), builder.CreateString(metric.status)
    store_id = builder.CreateString(metric.store_id)
    generated.OrderMetricStart(builder)  # type: ignore[no-untyped-call]
    for add, value in (
        (generated.OrderMetricAddOrderId, order_id),
        (generated.OrderMetricAddStatus, status),
        (generated.OrderMetricAddDurationSeconds, metric.duration_seconds),
        (generated.OrderMetricAddTimestamp, metric.timestamp),
        (generated.OrderMetricAddOccurredAtUs, metric.occurred_at_us),
        (generated.OrderMetricAddEpoch, metric.epoch),
        (generated.OrderMetricAddSequence, metric.sequence),
        (generated.OrderMetricAddTotalCents, metric.total_cents),
        (generated.OrderMetricAddItemCount, metric.item_count),
        (generated.OrderMetricAddLineCount, metric.line_count),
        (generated.OrderMetricAddStoreId, store_id),
        (generated.OrderMetricAddVersion, metric.version),
    ):
        add(builder, value)  # type: ignore[no-untyped-call]
    builder.Finish(generated.OrderMetricEnd(builder))  # type: ignore[no-untyped-call]
    return bytes(builder.Output())


async def measure_stages() -> list[Stage]:
    """Measure each step over the same metrics; insert is the embedded engine's, fsync included, in batches of 5,000."""
    metrics = Metrics(NO_PUBLISHER, "mart-1")
    made = list(changes(metrics, TIMES))
    stated = [metric_of(one, "mart-1") for one in made]
    frames = [encode(one) for one in stated]
    facts = [fact_of(one) for one in stated]
    counters = Counters()
    sample = stated[: TIMES // 10]
    found = [
        Stage("state: the metric of a status change", per_item_us(made, lambda one: metric_of(one, "mart-1"))),
        Stage("pack: our layout", per_item_us(stated, encode)),
        Stage("pack: the official builder", per_item_us(sample, build_officially)),
        Stage("verify and decode: our layout", per_item_us(frames, decode)),
        Stage(
            "verify and decode: another builder's layout",
            per_item_us([build_officially(one) for one in sample], decode),
        ),
        Stage("check as a fact", per_item_us(stated, fact_of)),
        Stage("count, each number once", per_item_us(facts, lambda one: counters.count(one, 0.0))),
    ]
    with tempfile.TemporaryDirectory() as place:
        async with open_embedded(Path(place) / "analytics") as engine:
            store = FactStore(engine, FOREVER)
            await store.load()
            began = time.process_time()
            for start in range(0, len(facts), BATCH):
                await store.write(Batch(start + 1, facts[start : start + BATCH]), time.time_ns() // 1_000)
            inserted = time.process_time()
            await store.compute_minutes()
            computed = time.process_time()
    return [
        *found,
        Stage("insert, marks included", (inserted - began) / len(facts) * 1e6),
        Stage("compute the figures of its minute", (computed - inserted) / len(facts) * 1e6),
    ]
