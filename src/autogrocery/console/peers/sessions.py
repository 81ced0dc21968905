"""Sessions of operators: a random cookie in the browser, the tokens in this process only."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Final

from autogrocery.client.ops import Operator, log_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    import aiohttp

COOKIE: Final = "autogrocery_console"
MAX_SESSIONS: Final = 200
IDLE_S: Final = 8 * 3600.0  # a working day; the refresh token usually ends earlier


class Session:
    """One operator at one browser. `alive` is false once the tokens ended or the operator left."""

    def __init__(self, name: str, api: Operator) -> None:
        self.name = name
        self.api = api
        self.alive = True
        self.used_at = time.monotonic()


class Sessions:
    """All sessions, at most MAX_SESSIONS: a further login ends the one that was idle longest."""

    def __init__(self, http: aiohttp.ClientSession, url: str, tls: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._http = http
        self._url = url
        self._tls = tls
        self._sessions: dict[bytes, Session] = {}

    async def open(self, operator: str, password: str) -> str:
        """Log in at the gateway and return the new cookie. Raises Problem and Unanswered as `log_in` does."""
        tokens = await log_in(self._http, self._url, operator, password, self._tls())
        cookie = secrets.token_urlsafe(32)
        if len(self._sessions) >= MAX_SESSIONS:
            self._end(min(self._sessions, key=lambda key: self._sessions[key].used_at))
        self._sessions[_key(cookie)] = Session(operator, Operator(self._http, self._url, tokens, self._tls))
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, None if there is none, it ended, or it was idle for IDLE_S."""
        key = _key(cookie or "")
        found = self._sessions.get(key)
        if found is None:
            return None
        if not found.alive or time.monotonic() - found.used_at > IDLE_S:
            self._end(key)
            return None
        found.used_at = time.monotonic()
        return found

    def close(self, cookie: str | None) -> None:
        """End the session of a cookie."""
        self._end(_key(cookie or ""))

    def _end(self, key: bytes) -> None:
        if (found := self._sessions.pop(key, None)) is not None:
            found.alive = False


def _key(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="replace")).digest()
