"""Metrics: one FlatBuffers frame for each status change, published after its commit without waiting for subscribers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter

from autogrocery.contracts.analytics.metric import OrderMetric, encode
from autogrocery.gateway.core.order import TERMINAL, Status
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, RestockStatus
from autogrocery.gateway.core.status_change import MetricNumber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from autogrocery.gateway.core.status_change import StatusChange
    from autogrocery.kit.bus import Publisher

U16_MAX = 0xFFFF
ENDED: frozenset[str] = TERMINAL | RESTOCK_TERMINAL
CHANGES = Counter("order_status_changes", "Status changes committed by this process", ["status"])
CHANGES_TO = {status.value: CHANGES.labels(status.value) for status in (*Status, *RestockStatus)}


def metric_of(change: StatusChange, store_id: str) -> OrderMetric:
    """Return the metric of a change; its duration runs from the confirm, or the truck's announcement, to the end."""
    at_s = change.at.timestamp()
    seconds = (change.at - change.confirmed_at).total_seconds() if change.confirmed_at else 0.0
    return OrderMetric(
        order_id=str(change.order_id),
        status=change.to_status.value,
        duration_seconds=max(seconds, 0.0) if change.to_status in ENDED else 0.0,
        timestamp=int(at_s),
        occurred_at_us=round(at_s * 1_000_000),
        epoch=change.number.epoch,
        sequence=change.number.sequence,
        total_cents=change.total_cents,
        item_count=min(change.item_count, U16_MAX),
        line_count=min(change.line_count, U16_MAX),
        store_id=store_id,
        version=change.version,
    )


class Metrics:
    """One run of the publisher: it reserves the numbers 1, 2, 3… and publishes what was committed under them."""

    def __init__(
        self, publisher: Publisher, store_id: str, encode_metric: Callable[[OrderMetric], bytes] = encode
    ) -> None:
        self.epoch = time.time_ns() // 1_000
        self.store_id = store_id
        self._publisher = publisher
        self._encode = encode_metric
        self._reserved = 0

    def reserve_numbers(self, count: int = 1) -> MetricNumber:
        """Reserve the next `count` numbers and return the last of them; the numbers of a failed write are void."""
        self._reserved += count
        return MetricNumber(self.epoch, self._reserved)

    async def publish(self, changes: Iterable[StatusChange]) -> None:
        """Publish committed changes; a frame that ZeroMQ does not take is counted, and stays in the metrics log."""
        for change in changes:
            CHANGES_TO[change.to_status].inc()
            await self._publisher.post(self._encode(metric_of(change, self.store_id)))

    def counters(self) -> dict[str, int]:
        """Return this run's epoch, the last number reserved, and how many frames were sent and dropped."""
        return {
            "epoch": self.epoch,
            "taken": self._reserved,
            "sent": self._publisher.sent,
            "dropped": self._publisher.dropped,
        }
