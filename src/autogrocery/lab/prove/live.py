"""What a person sees while it goes on: a line that moves on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live as Moving
from rich.text import Text

from autogrocery.lab.prove.arithmetic import availability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.lab.prove.record import Record

LINE_EVERY_S: Final = 5.0
RECENT_LOOKS: Final = 300  # half a minute's


class Live:
    """Tells of the run as it goes; `struck` and `say` print a line each, `tick` and `shopped` move the figures."""

    def __init__(self, console: Console, moving: Moving | None) -> None:
        self._console = console
        self._moving = moving
        self._outcomes: Counter[str] = Counter()
        self._began_at = time.monotonic()
        self._last_line_at = 0.0

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(Text(f"{time.monotonic() - self._began_at:6.1f} s  {line}"), soft_wrap=True)

    def struck(self, line: str) -> None:
        """Print what a disaster did."""
        self._console.print(
            Text(f"{time.monotonic() - self._began_at:6.1f} s  ⚡ {line}", style="yellow"), soft_wrap=True
        )

    def shopped(self, outcomes: Counter[str]) -> None:
        """Take the orders by status."""
        self._outcomes = outcomes

    def tick(self, left_s: float, record: Record, told: int) -> None:
        """Show how things stand."""
        self.waiting(self._line(left_s, record, told))

    def waiting(self, told: str) -> None:
        """Show what is going on: the moving line, or a plain one every LINE_EVERY_S seconds."""
        line = Text(told)
        if self._moving is not None:
            self._moving.update(line)
        elif time.monotonic() - self._last_line_at >= LINE_EVERY_S:
            self._last_line_at = time.monotonic()
            self._console.print(line, soft_wrap=True)

    def _line(self, left_s: float, record: Record, told: int) -> str:
        kills = sum(fault.kind in ("kill", "database") for fault in record.faults)
        share = availability(record.balanced[-RECENT_LOOKS:]).share
        counts = " · ".join(f"{outcome} {count}" for outcome, count in sorted(self._outcomes.items()))
        left = f"{max(0.0, left_s):.0f} s of disasters left" if left_s > 0 else "healing"
        answered = "" if share is None else f" · GETs answered lately {share:.1%}"
        return f"{left} · {kills} kills · {told} answers journalled{answered} · {counts or 'no order has ended yet'}"


@contextmanager
def watching(console: Console | None = None) -> Iterator[Live]:
    """Yield a Live that writes to `console`."""
    console = console or Console(highlight=False, emoji=False)
    if not console.is_terminal:
        yield Live(console, None)
        return
    with Moving(Text(""), console=console, refresh_per_second=4, transient=True) as moving:
        yield Live(console, moving)
