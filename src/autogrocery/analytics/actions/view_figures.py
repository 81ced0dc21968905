"""Show the figures: a line on standard output for people, a JSON file for programs."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import orjson

from autogrocery.analytics.core.counters import MAX_STATUSES
from autogrocery.kit.process.clock import now, rfc3339

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.store.backlog import Backlog


def figures_of(counters: Counters, backlog: Backlog | None) -> dict[str, Any]:
    """Return all figures. With a store its status changes count, whichever process stored them; else this process's."""
    figures = counters.snapshot(time.monotonic())
    if backlog is None:
        return {**figures, "store": None}
    if not backlog.store.loaded:
        return {**figures, "store": backlog.figures()}
    changes = backlog.store.changes
    by_status = dict(sorted(changes.most_common(MAX_STATUSES)))
    if other := changes.total() - sum(by_status.values()):
        by_status["OTHER"] = other
    return {**figures, "by_status": by_status, "unique": changes.total(), "store": backlog.figures()}


async def print_line(counters: Counters, backlog: Backlog | None) -> bool:
    """Print the figures on one line."""
    figures = figures_of(counters, backlog)
    statuses = " ".join(f"{status} {count:,}" for status, count in figures["by_status"].items()) or "nothing yet"
    quantiles = " ".join(
        f"{name} {figures['duration_ms'][name] / 1_000:.1f} s"
        for name in ("p50", "p90", "p99")
        if figures["duration_ms"][name]
    )
    sys.stdout.write(
        f"{figures['unique']:,} metrics ({figures['last_minute']:,} in the last minute): {statuses}"
        f" | {quantiles or 'no durations'} | duplicates {figures['duplicates']:,} invalid {figures['invalid']:,}"
        f" gaps open {figures['gaps_open']:,} recovered {figures['gaps_recovered']:,}\n"
    )
    sys.stdout.flush()
    return False


async def write_status(counters: Counters, backlog: Backlog | None, path: Path) -> bool:
    """Write the figures as JSON. The file is replaced atomically: a reader never sees a partial one."""
    figures = {**figures_of(counters, backlog), "updated_at": rfc3339(now())}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    draft.replace(path)
    return False
