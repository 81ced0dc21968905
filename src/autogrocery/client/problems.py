"""How a call can fail: refused by the gateway, or not answered in time."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

BUSY: Final = frozenset({429, 502, 503, 504})  # whoever answered these has not refused anything


class _Body(Struct, frozen=True):
    code: str = ""
    title: str = ""
    detail: str = ""
    retryable: bool = False
    request_id: str | None = None
    errors: list[dict[str, Any]] = []


class Problem(Exception):  # noqa: N818 - the name RFC 9457 gives it
    """The gateway said no (RFC 9457). `code` is stable; `retryable` means the same call may succeed later.

    `request_id` finds the call in the gateway's log; `errors` names what was wrong, line by line; `lost` is true if an
    earlier attempt of the same call may have reached the gateway without being answered.
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


class Unanswered(Exception):  # noqa: N818 - it is no error of the caller's: it may have happened
    """No definite answer within the caller's patience. It may have happened; only the same call again can tell.

    `last` is the last refusal to serve (429, 503, …), or None if nothing was heard at all.
    """

    def __init__(self, call: str, patience_s: float, last: Problem | None) -> None:
        heard = f"last heard {last}" if last is not None else "nothing was heard"
        super().__init__(f"{call}: no definite answer within {patience_s:g} s, {heard}")
        self.last = last


def read_problem(status: int, body: bytes, request_id: str | None) -> Problem:
    """Read an error answer, also one that some proxy wrote in a form of its own."""
    try:
        told = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _Body()
    return Problem(
        status,
        told.code or f"http_{status}",
        told.detail or told.title or "no reason given",
        retryable=told.retryable or status in BUSY,
        request_id=told.request_id or request_id,
        errors=told.errors,
    )
