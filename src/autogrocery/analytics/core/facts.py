"""A fact: one status change as the store keeps it. What is received becomes a fact only if the store can take it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import Struct

from autogrocery.analytics.core.durations import MAX_MS

if TYPE_CHECKING:
    from autogrocery.contracts.analytics.metric import OrderMetric

STATUS: Final = re.compile(r"[A-Z][A-Z_]{0,31}")
MAX_STORE_CHARACTERS: Final = 64
MICROSECONDS: Final = 1_000_000
END_US: Final = 3_786_912_000 * MICROSECONDS  # 2090: a DateTime ends in 2106, and the time of expiry must fit too


class Fact(Struct, frozen=True):
    """One status change. Its identity is (store_id, order_id, version, status): an insert may be repeated.

    The fields are the columns of the table `facts`. `version` is 0 if the publisher does not send it; only then the
    status makes a difference. `occurred_at` is in Unix microseconds. `batch` is set when it is written.
    """

    store_id: str
    order_id: UUID
    version: int
    status: str
    occurred_at: int
    duration_ms: int
    total_cents: int
    item_count: int
    line_count: int
    epoch: int
    sequence: int
    batch: int = 0

    @property
    def minute(self) -> Minute:
        """Return the mart and the minute in which the change occurred."""
        second = self.occurred_at // MICROSECONDS
        return Minute(self.store_id, second - second % 60)


class Minute(Struct, frozen=True):
    """One minute of one mart; `started_at` in Unix seconds."""

    store_id: str
    started_at: int


def fact_of(metric: OrderMetric) -> Fact:
    """Return the fact that a metric states.

    Raises ValueError, with the reason, for a status, an order id, a store id or a time that is none. Without
    `occurred_at_us`, from publishers that send four fields, the time is `timestamp`.
    """
    if not STATUS.fullmatch(metric.status):
        raise ValueError("the status is malformed")
    if len(metric.store_id) > MAX_STORE_CHARACTERS or not metric.store_id.isprintable():
        raise ValueError("the store id is too long or has control characters")
    occurred_at = metric.occurred_at_us or metric.timestamp * MICROSECONDS
    if not 0 < occurred_at < END_US:
        raise ValueError("the time is out of range")
    try:
        order_id = UUID(metric.order_id)
    except ValueError:
        raise ValueError("the order id is no UUID") from None
    return Fact(
        metric.store_id,
        order_id,
        metric.version,
        metric.status,
        occurred_at,
        min(round(metric.duration_seconds * 1_000), MAX_MS),
        metric.total_cents,
        metric.item_count,
        metric.line_count,
        metric.epoch,
        metric.sequence,
    )
