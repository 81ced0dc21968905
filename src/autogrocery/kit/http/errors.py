"""Problems: the one table from our three ways to fail to HTTP (RFC 9457, RFC 6750 §3, RFC 9110 §10.2.3)."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Struct, UnsetType

from autogrocery.kit.errors import Denied, Flaw, InDoubt, Refused, TooMany, Unauthenticated, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA = b"application/problem+json"
RETRY_JITTER = 0.5
MAX_RETRY_AFTER_S = 3_600
IN_DOUBT_RETRY_S = 1.0
AGAIN_LATER = frozenset({429, 503})  # with Retry-After
AGAIN = AGAIN_LATER | {408}  # asking again, the same call, is what these statuses say

# What every route may answer, whatever its action does: status → codes. OpenAPI is made from the same table.
EVERYWHERE = {
    400: ("bad_request",),
    404: ("not_found",),
    405: ("method_not_allowed",),
    414: ("uri_too_long",),
    431: ("headers_too_large",),
    500: ("internal_error",),
    503: ("overloaded", "deadline_exceeded", "interrupted", "in_doubt", "database_unavailable"),
}
WITH_BODY = {
    400: ("invalid_json",),
    408: ("request_timeout",),
    413: ("payload_too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_request",),
}


class Problem(Struct, frozen=True):
    """The body of every error answer. `retryable` says: ask again, the same call."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    errors: tuple[Flaw, ...] | UnsetType = UNSET


class Told(Struct, frozen=True):
    """A problem ready to be sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def title(code: str) -> str:
    """Return a code as a short sentence: `insufficient_stock` → `Insufficient stock`."""
    return code.replace("_", " ").capitalize()


def tell(error: BaseException, request_id: str, *, scope: str | None = None, presented: bool = False) -> Told:
    """Return what the caller learns of `error`; a bug is logged here, and told without a word about its inside.

    `scope` is what the route asks for; `presented` says that the caller sent credentials.
    """
    headers = [(b"content-type", MEDIA), (b"cache-control", b"no-store")]
    errors: Sequence[Flaw] = ()
    match error:
        case Refused():
            status, code, detail, errors = error.status, error.code, error.detail, error.errors
            headers += _headers_of(error, scope, presented=presented)
        case Unavailable():
            status, code, detail = 503, error.code, error.detail
            headers.append(retry_after(error.retry_after_s))
        case InDoubt():
            status, code, detail = 503, "in_doubt", "A peer gave no clear answer. Ask again, the same call."
            headers.append(retry_after(IN_DOUBT_RETRY_S))
        case asyncio.CancelledError():
            status, code, detail = 503, "interrupted", "The work was interrupted. Ask again, the same call."
            headers.append(retry_after(IN_DOUBT_RETRY_S))
        case _:
            log.error("request_failed", request_id=request_id, exc_info=error)
            status, code, detail = 500, "internal_error", "Something went wrong here. It has been noted."
    problem = Problem(
        type=f"/docs#{code}",
        title=title(code),
        status=status,
        detail=detail,
        code=code,
        retryable=status in AGAIN,
        request_id=request_id,
        errors=tuple(errors) or UNSET,
    )
    return Told(status, headers, msgspec.json.encode(problem))


def retry_after(at_least_s: float) -> tuple[bytes, bytes]:
    """Return a Retry-After of whole seconds, at least 1, up to half as long again so that callers don't return as one."""
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
