"""The three families of errors that a call may end with. Any other exception is a bug.

`Refused`: a repetition will not help. `Unavailable`: repeat the same call. `InDoubt`: the call may have had its effect;
only the same call with the same id finds out, and no code may turn it into a failure.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class FieldError(Struct, frozen=True, omit_defaults=True):
    """One entry of a problem's `errors[]`: a JSON pointer into the request, and what is wrong there."""

    pointer: str | None = None
    detail: str | None = None


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """The call is definitely refused, with a stable snake_case code; `status` is the HTTP status."""

    status: ClassVar[int] = 400

    def __init__(self, code: str, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors


class Malformed(Refused):
    """400: the request breaks the protocol; `status` may be a more exact one (405, 408, 413, 414, 415, 431)."""

    def __init__(self, code: str, detail: str, *, status: int = 400, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(code, detail, errors=errors)
        self.status = status  # type: ignore[misc]


class Unauthenticated(Refused):
    """401: the caller's identity could not be verified."""

    status = 401


class Denied(Refused):
    """403: the caller is known and lacks the permission."""

    status = 403


class NotFound(Refused):
    """404: the resource does not exist for this caller."""

    status = 404


class Conflict(Refused):
    """409: the state of the resource forbids it."""

    status = 409


class Gone(Refused):
    """410: the resource existed and has expired."""

    status = 410


class Invalid(Refused):
    """422: the request is well-formed and its content is wrong."""

    status = 422


class TooMany(Refused):
    """429: the rate limit is exceeded; repeat after `retry_after_s` seconds."""

    status = 429

    def __init__(self, code: str, detail: str, *, retry_after_s: float) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


class NotTold(Refused):
    """501: a peer lacks the part of its contract that answers this; it need not have it."""

    status = 501


class Unavailable(Exception):  # noqa: N818
    """503: repeat the same call after `retry_after_s` seconds. The call may nevertheless have had its effect."""

    def __init__(self, code: str, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class InDoubt(Exception):  # noqa: N818
    """A peer gave no clear answer: the call may have had its effect, or may still have it later."""

    def __init__(self, peer: str, detail: str) -> None:
        super().__init__(f"{peer}: {detail}")
        self.peer = peer
        self.detail = detail
