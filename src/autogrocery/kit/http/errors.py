"""Problem responses: the mapping of the three error families to HTTP (RFC 9457, RFC 6750 §3, RFC 9110 §10.2.3)."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Struct, UnsetType

from autogrocery.kit.errors import Denied, FieldError, InDoubt, Refused, TooMany, Unauthenticated, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA = "application/problem+json"
RETRY_JITTER = 0.5
MAX_RETRY_AFTER_S = 3_600
IN_DOUBT_RETRY_S = 1.0
RETRY_AFTER_STATUSES = frozenset({429, 503})  # with Retry-After
RETRYABLE_STATUSES = RETRY_AFTER_STATUSES | {408}  # the client may repeat the same call

# The codes by status that any route may answer, whatever its action does; OpenAPI is generated from these tables.
ANY_ROUTE_CODES = {
    400: ("bad_request",),
    404: ("not_found",),
    405: ("method_not_allowed",),
    414: ("uri_too_long",),
    431: ("headers_too_large",),
    500: ("internal_error",),
    503: ("overloaded", "deadline_exceeded", "interrupted", "in_doubt", "database_unavailable"),
}
BODY_ROUTE_CODES = {
    400: ("invalid_json",),
    408: ("request_timeout",),
    413: ("payload_too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_request",),
}


class Problem(Struct, frozen=True):
    """The body of every error response. `retryable` means that the client may repeat the same call."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    errors: tuple[FieldError, ...] | UnsetType = UNSET


class ProblemResponse(Struct, frozen=True):
    """A problem as status, further header fields and encoded body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def title(code: str) -> str:
    """Return a code as a title: `insufficient_stock` → `Insufficient stock`."""
    return code.replace("_", " ").capitalize()


def problem_response(
    error: BaseException, request_id: str, *, scope: str | None = None, presented: bool = False
) -> ProblemResponse:
    """Return the response for `error`; an unexpected exception is logged here and answered 500 without its details.

    `scope` is the scope that the route requires; `presented` means that the caller sent credentials.
    """
    headers: list[tuple[bytes, bytes]] = []
    errors: Sequence[FieldError] = ()
    match error:
        case Refused():
            status, code, detail, errors = error.status, error.code, error.detail, error.errors
            headers += _headers_of(error, scope, presented=presented)
        case Unavailable():
            status, code, detail = 503, error.code, error.detail
            headers.append(retry_after(error.retry_after_s))
        case InDoubt():
            status, code, detail = 503, "in_doubt", "A peer gave no clear answer. Repeat the same call."
            headers.append(retry_after(IN_DOUBT_RETRY_S))
        case asyncio.CancelledError():
            status, code, detail = 503, "interrupted", "The work was interrupted. Repeat the same call."
            headers.append(retry_after(IN_DOUBT_RETRY_S))
        case _:
            log.error("request_failed", request_id=request_id, exc_info=error)
            status, code, detail = 500, "internal_error", "An internal error occurred and was logged."
    return ProblemResponse(
        status, headers, msgspec.json.encode(problem(status, code, detail, request_id, tuple(errors)))
    )


def problem(status: int, code: str, detail: str, request_id: str, flaws: tuple[FieldError, ...] = ()) -> Problem:
    """Return the body of a problem (RFC 9457)."""
    return Problem(
        type=f"/docs#{code}",
        title=title(code),
        status=status,
        detail=detail,
        code=code,
        retryable=status in RETRYABLE_STATUSES,
        request_id=request_id,
        errors=flaws or UNSET,
    )


def retry_after(at_least_s: float) -> tuple[bytes, bytes]:
    """Return a Retry-After of whole seconds, at least 1: up to 50 % longer, so that callers don't return together."""
    wait_s = math.ceil(at_least_s * random.uniform(1.0, 1.0 + RETRY_JITTER))  # noqa: S311 - jitter
    return b"retry-after", b"%d" % min(max(1, wait_s), MAX_RETRY_AFTER_S)


def _headers_of(error: Refused, scope: str | None, *, presented: bool) -> list[tuple[bytes, bytes]]:
    match error:
        case TooMany():
            return [retry_after(error.retry_after_s), *getattr(error, "headers", ())]
        case Unauthenticated() if presented and error.code == "invalid_token":
            return [(b"www-authenticate", b'Bearer error="invalid_token"')]
        case Unauthenticated():
            return [(b"www-authenticate", b"Bearer")]
        case Denied() if error.code == "insufficient_scope" and scope:
            return [(b"www-authenticate", f'Bearer error="insufficient_scope", scope="{scope}"'.encode("ascii"))]
        case Denied() if error.code == "insufficient_scope":
            return [(b"www-authenticate", b'Bearer error="insufficient_scope"')]
        case _:
            return list(getattr(error, "headers", ()))
