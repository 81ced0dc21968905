"""What the clock and the bus start."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.actions.count_metrics import count_metrics
from autogrocery.analytics.actions.fetch_details import DetailFetcher, DetailSource
from autogrocery.analytics.actions.fill_gaps import fill_gaps
from autogrocery.analytics.actions.store_batches import store_batches
from autogrocery.analytics.actions.view_figures import print_line, write_status
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.metrics_log import MetricsLog
    from autogrocery.analytics.peers.subscription import Subscription
    from autogrocery.analytics.store.backlog import Backlog

AGAIN_AFTER_ERROR_S: Final = 0.5
FILL_EVERY_S: Final = 2.0
FETCH_EVERY_S: Final = 2.0
STORE_EVERY_S: Final = 0.8  # ± 20 %: a fact waits for less than a second
PRINT_EVERY_S: Final = 5.0
WRITE_EVERY_S: Final = 1.0


def table(
    subscription: Subscription,
    log: MetricsLog,
    sources: Sequence[DetailSource],
    counters: Counters,
    backlog: Backlog | None,
    status_file: str,
) -> list[Loop]:
    """Return the loops of the engine; the one that writes figures only if `status_file` is set."""
    waiting = backlog.waiting if backlog is not None else None
    loops = [
        Loop("metrics", AGAIN_AFTER_ERROR_S, partial(count_metrics, subscription, counters, waiting)),
        Loop("gaps", FILL_EVERY_S, partial(_fill_gaps, log, counters, backlog)),
        Loop("print", PRINT_EVERY_S, partial(print_line, counters, backlog)),
    ]
    if backlog is not None:
        store = Loop("store", STORE_EVERY_S, partial(store_batches, backlog, counters))
        backlog.waiting.on_full = store.wake
        loops.append(store)
        loops.extend(
            Loop(source.name, FETCH_EVERY_S, DetailFetcher(backlog, source).fetch_details) for source in sources
        )
    if status_file:
        loops.append(Loop("status", WRITE_EVERY_S, partial(write_status, counters, backlog, Path(status_file))))
    return loops


async def _fill_gaps(log: MetricsLog, counters: Counters, backlog: Backlog | None) -> bool:
    if backlog is None:
        return await fill_gaps(log, counters)
    return backlog.keeps_up and await fill_gaps(log, counters, backlog.waiting, backlog.complete_since_s)
