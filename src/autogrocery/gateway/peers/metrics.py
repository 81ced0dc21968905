"""Metrics: one FlatBuffers frame for each status change, sent after its commit and never waited for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter

from autogrocery.contracts.analytics.metric import OrderMetric, encode
from autogrocery.gateway.core.order import TERMINAL, Status
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, RestockStatus
from autogrocery.gateway.store.orders import Number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.gateway.store.moves import Change
    from autogrocery.kit.bus import Publisher

U16_MAX = 0xFFFF
ENDED: frozenset[str] = TERMINAL | RESTOCK_TERMINAL
CHANGES = Counter("order_status_changes", "Status changes committed by this process", ["status"])
CHANGES_TO = {status.value: CHANGES.labels(status.value) for status in (*Status, *RestockStatus)}


def metric_of(change: Change, store_id: str) -> OrderMetric:
    """Return what analytics is told of a change; the duration runs from confirm, or a truck's announcement, to the end."""
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
    """One run of this publisher: it gives out numbers 1, 2, 3… and sends what was committed under them."""

    def __init__(self, publisher: Publisher, store_id: str) -> None:
        self.epoch = time.time_ns() // 1_000
        self.store_id = store_id
        self._publisher = publisher
        self._taken = 0

    def take(self, count: int = 1) -> Number:
        """Take the next `count` numbers; returns the last of them. Numbers of a failed write are void."""
        self._taken += count
        return Number(self.epoch, self._taken)

    async def tell(self, changes: Iterable[Change]) -> None:
        """Send what was committed; what ZeroMQ can't take is counted and found in the metrics log."""
        for change in changes:
            CHANGES_TO[change.to_status].inc()
            await self._publisher.publish(encode(metric_of(change, self.store_id)))

    def figures(self) -> dict[str, int]:
        """Return this run's epoch, the last number taken, and how many frames were sent and dropped."""
        return {
            "epoch": self.epoch,
            "taken": self._taken,
            "sent": self._publisher.sent,
            "dropped": self._publisher.dropped,
        }
