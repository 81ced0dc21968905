"""What the clock and the bus start."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.actions.count_metrics import count_metrics
from autogrocery.analytics.actions.fill_gaps import fill_gaps
from autogrocery.analytics.actions.view_figures import print_line, write_status
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.metrics_log import MetricsLog
    from autogrocery.analytics.peers.subscription import Subscription

AGAIN_AFTER_ERROR_S: Final = 0.5
FILL_EVERY_S: Final = 2.0
PRINT_EVERY_S: Final = 5.0
WRITE_EVERY_S: Final = 1.0


def table(subscription: Subscription, log: MetricsLog, counters: Counters, status_file: str) -> list[Loop]:
    """Return the loops of the engine; the one that writes figures only if `status_file` is set."""
    loops = [
        Loop("metrics", AGAIN_AFTER_ERROR_S, partial(count_metrics, subscription, counters)),
        Loop("gaps", FILL_EVERY_S, partial(fill_gaps, log, counters)),
        Loop("print", PRINT_EVERY_S, partial(print_line, counters)),
    ]
    if status_file:
        loops.append(Loop("status", WRITE_EVERY_S, partial(write_status, counters, Path(status_file))))
    return loops
