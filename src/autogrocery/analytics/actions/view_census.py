"""View which status changes are known: the writer answers, because an embedded store has one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.analytics.store.census import count_facts, count_minutes
from autogrocery.contracts.analytics.census import FactCensus
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.store.backlog import Backlog

MINUTE_S: Final = 60


async def view_census(backlog: Backlog | None, counters: Counters) -> FactCensus:
    """Return what is stored since the first full minute that the store has completely; without one, what was counted.

    Raises Unavailable while the store does not answer.
    """
    if backlog is None:
        return FactCensus(0, counters.unique)
    if not backlog.complete_since_s:
        raise Unavailable("store_unavailable", "the store was not read yet")
    since_s = -(-backlog.complete_since_s // MINUTE_S) * MINUTE_S
    engine = backlog.store.engine
    return FactCensus(since_s, await count_minutes(engine, since_s), await count_facts(engine, since_s))
