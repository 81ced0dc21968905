"""Facts, and stores of them in the embedded engine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.analytics.core.batch import Batch
from autogrocery.analytics.core.facts import Fact, fact_of
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.schema import Retention
from tests.harness.analytics_gateway import metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from autogrocery.analytics.store.engine import Engine
    from autogrocery.contracts.analytics.metric import OrderMetric

FOREVER: Final = Retention(3_650, 3_650)
MILLION: Final = 1_000_000
STARTED_AT_US: Final = 1_767_225_600_000_000
COUNT: Final = """
-- test.count
SELECT (SELECT count() FROM facts FINAL) AS facts, (SELECT sum(changes) FROM order_minutes FINAL) AS changes,
       (SELECT sum(total_cents) FROM facts FINAL) AS fact_cents,
       (SELECT sum(total_cents) FROM order_minutes FINAL) AS minute_cents
"""


class Totals(Struct, frozen=True):
    """What a store holds, by its facts and by the figures of its minutes."""

    facts: int
    changes: int
    fact_cents: int
    minute_cents: int


def change(sequence: int, *, epoch: int = 1, **changed: Any) -> OrderMetric:
    """Return the metric of an order that no other (epoch, sequence) has: a euro, a second after the one before."""
    occurred_at_us = STARTED_AT_US + sequence % MILLION * MILLION
    return metric(sequence, epoch=epoch, **{"occurred_at_us": occurred_at_us, "total_cents": 100, **changed})


def fact(sequence: int, *, epoch: int = 1, **changed: Any) -> Fact:
    """Return the fact that `change` states."""
    return fact_of(change(sequence, epoch=epoch, **changed))


def batch(facts: Iterable[Fact], cut_at: int = 1, **changed: Any) -> Batch:
    """Return a batch of facts."""
    return Batch(cut_at, list(facts), **changed)


async def totals(engine: Engine) -> Totals:
    """Count what the store holds."""
    (found,) = await engine.rows(COUNT, Totals)
    return found


@asynccontextmanager
async def fact_store(directory: Path) -> AsyncIterator[FactStore]:
    """Open and load the embedded store in `directory`."""
    async with open_embedded(directory) as engine:
        store = FactStore(engine, FOREVER)
        await store.load()
        yield store
