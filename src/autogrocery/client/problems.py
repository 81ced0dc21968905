"""How a call fails: refused by the gateway, or without a definite response in time."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

BUSY: Final = frozenset({429, 502, 503, 504})  # a gateway or proxy that sends these has not refused the call


class _Body(Struct, frozen=True):
    code: str = ""
    title: str = ""
    detail: str = ""
    retryable: bool = False
    request_id: str | None = None
    errors: list[dict[str, Any]] = []


class Problem(Exception):  # noqa: N818 - the name RFC 9457 gives it
    """The gateway refused the call (RFC 9457). `code` is stable; `retryable` means the same call may succeed later.

    `request_id` finds the call in the gateway's log; `errors` says what was wrong, line by line; `lost` is true if an
    earlier attempt of the same call may have reached the gateway without its response reaching the client.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retryable: bool = False,
        request_id: str | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.request_id = request_id
        self.errors = errors or []
        self.lost = False


class Unanswered(Exception):  # noqa: N818 - not the caller's error: the call may have taken effect
    """No definite response before the deadline. The call may have taken effect; only the same call again can tell.

    `last` is the last problem of a kind that may pass (429, 503, …), or None if there was no response at all.
    """

    def __init__(self, call: str, deadline_s: float, last: Problem | None) -> None:
        received = f"the last one was {last}" if last is not None else "there was none at all"
        super().__init__(f"{call}: no definite response within {deadline_s:g} s, {received}")
        self.last = last


def read_problem(status: int, body: bytes, request_id: str | None) -> Problem:
    """Return the problem of an error response, also of one that a proxy wrote in a format of its own."""
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _Body()
    return Problem(
        status,
        found.code or f"http_{status}",
        found.detail or found.title or "no reason given",
        retryable=found.retryable or status in BUSY,
        request_id=found.request_id or request_id,
        errors=found.errors,
    )
