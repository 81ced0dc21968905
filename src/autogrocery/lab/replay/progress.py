"""Progress of a replay: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autogrocery.lab.console import PipeConsole

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from rich.console import Console

LINE_EVERY_S: Final = 5.0


@contextmanager
def show_progress(total: int, console: Console | None = None) -> Iterator[Callable[[Counter[str]], None]]:
    """Yield a function that shows the outcomes so far; orders per second count from the start of this block."""
    console = console or PipeConsole()
    if console.is_terminal:
        with _bar(total, console) as show:
            yield show
    else:
        yield _lines(total, console)


@contextmanager
def _bar(total: int, console: Console) -> Iterator[Callable[[Counter[str]], None]]:
    columns = (
        TextColumn("orders"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
    )
    started_at = time.monotonic()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("orders", total=total, status="")
        yield lambda outcomes: bar.update(task, completed=outcomes.total(), status=_status(outcomes, started_at))


def _lines(total: int, console: Console) -> Callable[[Counter[str]], None]:
    started_at = last_at = time.monotonic()

    def show(outcomes: Counter[str]) -> None:
        nonlocal last_at
        done = outcomes.total()
        if done == total or time.monotonic() - last_at >= LINE_EVERY_S:
            last_at = time.monotonic()
            line = f"{done}/{total} orders · {last_at - started_at:.0f} s · {_status(outcomes, started_at)}"
            console.print(line, highlight=False, soft_wrap=True)

    return show


def _status(outcomes: Counter[str], started_at: float) -> str:
    took_s = max(0.001, time.monotonic() - started_at)
    counts = " · ".join(f"{outcome} {count}" for outcome, count in sorted(outcomes.items()))
    return f"{outcomes.total() / took_s:.1f} orders/s · {counts}"
