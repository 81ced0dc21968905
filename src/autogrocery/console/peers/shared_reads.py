"""Reads of the gateway that all sessions share: ten operators who look at one page cost the gateway one request."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct, ValidationError

from autogrocery.client.problems import Problem, Unanswered
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
MAX_AGE_S: Final = 0.9  # pages read once a second
MAX_ENTRIES: Final = 256
UNAUTHENTICATED: Final = 401
NOT_TOLD: Final = 501


class Reading(Struct, Generic[T], frozen=True):
    """The last value that was read, None without one, and when; `error` says why it is not newer.

    `away` is whether the gateway gave no answer, and not a refusal.
    """

    value: T | None = None
    at: datetime | None = None
    error: str = ""
    away: bool = False


class _Entry:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.read_at = float("-inf")
        self.reading: Reading[Any] = Reading()


class SessionEndedError(Exception):
    """The gateway no longer accepts the tokens of the session that read."""


class SharedReads:
    """The last reading of each key, read again when it is older than MAX_AGE_S; at most MAX_ENTRIES keys."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.requests = 0

    async def read(self, key: str, fetch: Callable[[], Awaitable[T]], max_age_s: float = MAX_AGE_S) -> Reading[T]:
        """Return the reading of `key`, after one `fetch` if it is too old. Concurrent callers share the fetch.

        A failure keeps the last value and is told in the reading; only SessionEndedError is raised.
        """
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        async with entry.lock:
            if time.monotonic() - entry.read_at > max_age_s:
                self.requests += 1
                entry.reading = await _fetch(fetch, entry.reading)
                entry.read_at = time.monotonic()
            return entry.reading

    def forget(self) -> None:
        """Read everything anew at the next call: an action has changed it."""
        for entry in self._entries.values():
            entry.read_at = float("-inf")


async def _fetch(fetch: Callable[[], Awaitable[T]], last: Reading[T]) -> Reading[T]:
    try:
        return Reading(await fetch(), datetime.now(UTC))
    except Problem as problem:
        if problem.status == UNAUTHENTICATED:
            raise SessionEndedError from None
        return Reading(last.value, last.at, problem.detail, away=problem.retryable and problem.status != NOT_TOLD)
    except Unanswered as silence:
        reason = silence.last.detail if silence.last is not None else "no answer"
        return Reading(last.value, last.at, reason, away=True)
    except Unavailable as away:
        return Reading(last.value, last.at, away.detail)
    except ValidationError:
        return Reading(last.value, last.at, "the answer has a form that this console does not know: update both")
