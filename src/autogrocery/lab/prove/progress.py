"""Progress of a `prove` run: an updated line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.live import Live as RichLive
from rich.text import Text

from autogrocery.lab.console import PipeConsole
from autogrocery.lab.prove.measurements import availability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from autogrocery.lab.prove.record import Record

LINE_EVERY_S: Final = 5.0
RECENT_PROBES: Final = 300  # of half a minute


class LiveStatus:
    """Shows progress: `print_line` and `print_fault` print lines, `update` and `set_outcomes` the status line."""

    def __init__(self, console: Console, rich_live: RichLive | None) -> None:
        self._console = console
        self._rich_live = rich_live
        self._outcomes: Counter[str] = Counter()
        self._began_at = time.monotonic()
        self._last_line_at = 0.0

    def print_line(self, line: str) -> None:
        """Print a line."""
        self._console.print(Text(f"{time.monotonic() - self._began_at:6.1f} s  {line}"), soft_wrap=True)

    def print_fault(self, line: str) -> None:
        """Print an injected fault."""
        self._console.print(
            Text(f"{time.monotonic() - self._began_at:6.1f} s  ⚡ {line}", style="yellow"), soft_wrap=True
        )

    def set_outcomes(self, outcomes: Counter[str]) -> None:
        """Set the number of orders by outcome."""
        self._outcomes = outcomes

    def update(self, left_s: float, record: Record, responses: int) -> None:
        """Show the status of the run: seconds left, faults, responses, availability, outcomes."""
        self.show_status(self._line(left_s, record, responses))

    def show_status(self, status: str) -> None:
        """Show a status: on the updated line, or as a plain line at most every LINE_EVERY_S seconds."""
        line = Text(status)
        if self._rich_live is not None:
            self._rich_live.update(line)
        elif time.monotonic() - self._last_line_at >= LINE_EVERY_S:
            self._last_line_at = time.monotonic()
            self._console.print(line, soft_wrap=True)

    def _line(self, left_s: float, record: Record, responses: int) -> str:
        kills = sum(fault.kind in ("kill", "database") for fault in record.faults)
        share = availability(record.balancer_probes[-RECENT_PROBES:]).share
        counts = " · ".join(f"{outcome} {count}" for outcome, count in sorted(self._outcomes.items()))
        left = f"{max(0.0, left_s):.0f} s of faults left" if left_s > 0 else "recovering"
        answered = "" if share is None else f" · recent GETs answered {share:.1%}"
        ended = counts or "no order has ended yet"
        return f"{left} · {kills} kills · {responses} responses journalled{answered} · {ended}"


@contextmanager
def live_status(console: Console | None = None) -> Iterator[LiveStatus]:
    """Yield a LiveStatus that writes to `console`."""
    console = console or PipeConsole(highlight=False, emoji=False)
    if not console.is_terminal:
        yield LiveStatus(console, None)
        return
    with RichLive(Text(""), console=console, refresh_per_second=4, transient=True) as rich_live:
        yield LiveStatus(console, rich_live)
