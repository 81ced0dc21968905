"""Which status changes are stored, each once: compared with the history in the gateway's database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.contracts.analytics.census import Census

if TYPE_CHECKING:
    from autogrocery.analytics.store.engine import Engine

COUNT_FACTS: Final = """
-- census.count_facts
SELECT count() AS changes, sum(halfMD5(concat(toString(order_id), '/', toString(version), '/', status))) AS fingerprint
  FROM facts FINAL WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
"""
COUNT_MINUTES: Final = """
-- census.count_minutes
SELECT sum(changes) AS changes FROM order_minutes FINAL WHERE minute >= toDateTime({since}, 'UTC')
"""


class _Minutes(Struct, frozen=True):
    changes: int


async def count_facts(engine: Engine, since_s: int) -> Census:
    """Return the census of the facts since a full minute (Unix seconds). Every fact is read. Raises Unavailable."""
    (found,) = await engine.rows(COUNT_FACTS, Census, since=since_s)
    return found


async def count_minutes(engine: Engine, since_s: int) -> int:
    """Return the number of changes in the figures of the minutes since then. Raises Unavailable."""
    (found,) = await engine.rows(COUNT_MINUTES, _Minutes, since=since_s)
    return found.changes
