"""The CPU of each step of a metric, alone in a process of its own: the median of ROUNDS rounds, by thread time."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import flatbuffers
import msgspec

from autogrocery.analytics.core.batch import BATCH_FACTS, Batch
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.core.facts import fact_of
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.schema import Retention
from autogrocery.contracts.analytics.metric import OrderMetric, decode, encode
from autogrocery.contracts.analytics.v1 import order_metric_generated as generated
from autogrocery.gateway.peers.metrics import Metrics, metric_of
from autogrocery.kit import bus
from bench.metrics.publisher import make_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COUNT: Final = 20_000
OFFICIAL_COUNT: Final = 2_000
ROUNDS: Final = 7
INSERT_ROUNDS: Final = 8


def official(metric: OrderMetric) -> bytes:
    """Return the metric as the official builder with the generated module writes it."""
    builder: Any = flatbuffers.Builder(0)
    order_id, status, store_id = (
        builder.CreateString(text) for text in (metric.order_id, metric.status, metric.store_id)
    )
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


def official_read(frame: bytes) -> tuple[Any, ...]:
    """Return the metric's fields as the generated reader gives them; it verifies nothing."""
    table = generated.OrderMetric.GetRootAs(frame)  # type: ignore[no-untyped-call]
    return (
        table.OrderId().decode(),
        table.Status().decode(),
        table.DurationSeconds(),
        table.Timestamp(),
        table.OccurredAtUs(),
        table.Epoch(),
        table.Sequence(),
        table.TotalCents(),
        table.ItemCount(),
        table.LineCount(),
        table.StoreId().decode(),
        table.Version(),
    )


def cost_us(call: Callable[[Any], object], inputs: Sequence[object]) -> float:
    """Return the CPU µs of one call: the median of ROUNDS rounds over all inputs."""
    return round(statistics.median(cost_of_round(call, inputs) for _ in range(ROUNDS)), 2)


async def measure_costs(directory: Path) -> dict[str, float]:
    """Return the CPU µs of a metric by step; the store is created in `directory`."""
    async with bus.open_publisher("BENCH_ADDR", "tcp://127.0.0.1:0", point="metrics.publish") as publisher:
        metrics = Metrics(publisher, "mart-1")
        changes = [one for (one,) in make_changes(metrics, COUNT)]
        made = [metric_of(one, "mart-1") for one in changes]
        frames = [encode(one) for one in made]
        costs = {
            "make": cost_us(lambda one: metric_of(one, "mart-1"), changes),
            "pack": cost_us(encode, made),
            "pack, official builder": cost_us(official, made[:OFFICIAL_COUNT]),
            "hand to ZeroMQ, no subscriber": cost_us(publisher.send, frames),
        }
    facts = [fact_of(decode(one)) for one in frames]
    costs |= {
        "verify and read": cost_us(decode, frames),
        "read, official reader, not verified": cost_us(official_read, frames[:OFFICIAL_COUNT]),
        "make a fact": cost_us(fact_of, [decode(one) for one in frames]),
    }
    counting = []
    for _ in range(ROUNDS):
        counters = Counters()
        counting.append(cost_of_round(partial(counters.count, now_s=1.0), facts))
    costs["count"] = round(statistics.median(counting), 2)
    costs["insert"] = await cost_of_insert(directory)
    return costs


def cost_of_round(call: Callable[[Any], object], inputs: Sequence[object]) -> float:
    """Return the CPU µs of one call: one round over all inputs."""
    began = time.thread_time()
    for one in inputs:
        call(one)
    return (time.thread_time() - began) / len(inputs) * 1e6


async def cost_of_insert(directory: Path) -> float:
    """Return the CPU µs of a fact in the writer's own write: facts and marks in batches, with the engine's threads."""
    async with (
        open_embedded(directory) as engine,
        bus.open_publisher("BENCH_ADDR", "tcp://127.0.0.1:0", point="metrics.publish") as publisher,
    ):
        store, metrics = FactStore(engine, Retention(3_650, 3_650)), Metrics(publisher, "mart-1")
        await store.load()
        batches = [
            [fact_of(metric_of(one, "mart-1")) for (one,) in make_changes(metrics, BATCH_FACTS)]
            for _ in range(INSERT_ROUNDS)
        ]
        began = time.process_time()
        for number, facts in enumerate(batches):
            await store.write(Batch(number, facts), time.time_ns() // 1_000)
        spent_s = time.process_time() - began
    return round(spent_s / (BATCH_FACTS * INSERT_ROUNDS) * 1e6, 2)


def main() -> None:
    """Print the costs as a line of JSON."""
    with tempfile.TemporaryDirectory(prefix="agm-") as home:
        costs = asyncio.run(measure_costs(Path(home)))
    sys.stdout.buffer.write(msgspec.json.encode(costs) + b"\n")


if __name__ == "__main__":
    main()
