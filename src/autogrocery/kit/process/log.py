"""Logs are JSON lines on stderr; an event is a past tense, its facts are fields. Nothing secret or personal is a field."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

# structlog loads rich if it is there, to draw tracebacks that we never draw: a third of a role's start. So it is not there.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog

    del sys.modules["rich"]
else:
    import structlog

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


def _complete(role: str) -> structlog.types.Processor:
    """Return what adds to each event who says it, how loudly and when, and takes out what nobody may read."""

    def complete(_logger: Any, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        for name in NEVER_LOGGED & event.keys():
            event[name] = "[redacted]"
        event["role"] = role
        event["level"] = "warning" if method == "warn" else "error" if method == "exception" else method
        event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return event

    return complete


def configure(role: str, level: int = logging.INFO) -> None:
    """Log as `role` from now on, from `level` up; libraries' own warnings take the same way."""
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            _complete(role),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


class _Forward(logging.Handler):
    """Hands the standard library's records to structlog: one format for all."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        write = getattr(structlog.get_logger(), level, structlog.get_logger().warning)
        write("library_warned", library=record.name, detail=record.getMessage(), exc_info=record.exc_info)


log: structlog.stdlib.BoundLogger = structlog.get_logger()
