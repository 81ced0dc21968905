"""Logs are JSON lines on stderr: an event in the past tense and its fields. No field is secret or personal.

Without structlog, which imports rich for a console renderer that is not used here: 0.2 s, a third of a role's start.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
import time
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Sink = Callable[[str, str, dict[str, Any]], None]  # level, event, fields

NEVER_LOGGED = frozenset(
    {
        "password",
        "new_password",
        "token",
        "access_token",
        "refresh_token",
        "authorization",
        "secret",
        "email",
        "phone",
        "dsn",
        "body",
    }
)
MAX_LINES = 256  # that wait for the end of a turn
LEVELS = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}


class Log:
    """Writes events with their fields; `exc_info` is an exception, or True for the one being handled.

    Lines about what is usual leave in one write at the end of the event loop's turn, any other line at once, behind
    those before it. A line that can't be written (a reader that has gone, a full disk) never fails the caller; `lost`
    counts such lines.
    """

    def __init__(self) -> None:
        self.role = ""
        self.lost = 0
        self.level = logging.INFO
        self.sink: Sink = self._write
        self._lines: list[bytes] = []
        self._flushed_by: asyncio.AbstractEventLoop | None = None
        self._second = 0
        self._second_text = ""

    def info(self, event: str, **fields: Any) -> None:
        """Log what is usual."""
        self.sink("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what an operator may want to look at."""
        self.sink("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log what an operator must look at."""
        self.sink("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error with the exception that is being handled."""
        self.sink("exception", event, {"exc_info": True, **fields})

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < self.level:
            return
        for name in NEVER_LOGGED & fields.keys():
            fields[name] = "[redacted]"
        exc_info = fields.pop("exc_info", None)
        fields["event"] = event
        if error := sys.exception() if exc_info is True else exc_info:
            fields["exception"] = "".join(traceback.format_exception(error)).rstrip("\n")
        fields["role"] = self.role
        fields["level"] = "error" if level == "exception" else level
        fields["timestamp"] = self._now()
        self._lines.append(_encode(fields))
        if level != "info" or not self._is_flushed_later():
            self.flush()

    def flush(self) -> None:
        """Write the lines of this turn of the event loop."""
        lines, self._lines, self._flushed_by = self._lines, [], None
        if not lines:
            return
        try:
            stream = sys.stderr.buffer
            stream.write(b"\n".join(lines) + b"\n")
            stream.flush()
        except (AttributeError, OSError, ValueError):  # stderr is None, broken or closed
            self.lost += len(lines)

    def _is_flushed_later(self) -> bool:
        """Return whether the running event loop will flush; the first line of its turn asks it to."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # there is none
            return False
        if self._flushed_by is not loop:
            self._flushed_by = loop
            loop.call_soon(self.flush)
        return len(self._lines) < MAX_LINES

    def _now(self) -> str:
        """Return the time as RFC 3339 text in UTC with microseconds; its seconds are formatted once a second."""
        at = time.time()
        second = int(at)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f"{self._second_text}.{int((at - second) * 1e6):06d}Z"


def _encode(fields: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields, default=repr)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return json.dumps(fields, default=repr).encode("ascii")


log = Log()
atexit.register(log.flush)  # of a loop that ended within a turn


def configure(role: str, level: int = logging.INFO) -> None:
    """Log as `role` from now on, from `level` up; the warnings of libraries become events too."""
    log.role, log.level = role, level
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


@contextmanager
def capture(sink: Sink) -> Iterator[None]:
    """Call `sink(level, event, fields)` instead of writing, whatever the level, while the context lasts."""
    before, log.sink = log.sink, sink
    try:
        yield
    finally:
        log.sink = before


class _LibraryHandler(logging.Handler):
    """Turns records of the standard library's logging into events: one format for all."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        level = record.levelname.lower()
        log.sink(
            level if level in LEVELS else "warning",
            "library_warned",
            {"library": record.name, "detail": record.getMessage(), "exc_info": error},
        )
