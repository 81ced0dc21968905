"""Status changes to publish: as a mart makes them, three of an order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.status_change import StatusChange
from autogrocery.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.gateway.core.status_change import MetricNumber
    from autogrocery.gateway.peers.metrics import Metrics

LIFE: Final = (Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED)
CENTS, ITEMS, LINES = 2_584, 7, 3
PICK: Final = timedelta(seconds=40)


def change(version: int, order_id: object, number: MetricNumber, at: datetime) -> StatusChange:
    """Return the change of an order to its status number `version`."""
    confirmed_at = at - PICK if version == len(LIFE) else None
    return StatusChange(order_id, version, LIFE[version - 1], at, confirmed_at, CENTS, ITEMS, LINES, number)  # type: ignore[arg-type]


def changes(metrics: Metrics, count: int) -> Iterator[StatusChange]:
    """Yield the next `count` changes of a publisher, each with a number of its own."""
    for number in range(count):
        if number % len(LIFE) == 0:
            order_id, at = uuid7(), datetime.now(UTC)
        yield change(number % len(LIFE) + 1, order_id, metrics.reserve_numbers(), at)
