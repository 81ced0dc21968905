"""What people and other programs get to see of the figures."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import orjson

from autogrocery.kit.process.clock import now, rfc3339

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.analytics.core.tally import Tally


async def print_line(tally: Tally) -> bool:
    """Print the figures on one line, for a person."""
    told = tally.figures(time.monotonic())
    statuses = " ".join(f"{status} {count:,}" for status, count in told["by_status"].items()) or "nothing yet"
    quantiles = " ".join(
        f"{name} {told['duration_ms'][name] / 1_000:.1f} s"
        for name in ("p50", "p90", "p99")
        if told["duration_ms"][name]
    )
    sys.stdout.write(
        f"{told['unique']:,} metrics ({told['last_minute']:,} in the last minute): {statuses} | {quantiles or 'no durations'}"
        f" | duplicates {told['duplicates']:,} invalid {told['invalid']:,}"
        f" gaps open {told['gaps_open']:,} recovered {told['gaps_recovered']:,}\n"
    )
    sys.stdout.flush()
    return False


async def write_status(tally: Tally, path: Path) -> bool:
    """Write the figures as JSON, whole or not at all: a reader never sees half a file."""
    told = {**tally.figures(time.monotonic()), "updated_at": rfc3339(now())}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    draft.replace(path)
    return False
