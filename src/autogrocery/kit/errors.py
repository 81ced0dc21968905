"""The three ways to fail. Anything else is a bug.

`Refused`: asking again will not help. `Unavailable`: ask again, the same call. `InDoubt`: it may have happened; only the
same call with the same id settles it, and no code may turn it into a failure.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class Flaw(Struct, frozen=True, omit_defaults=True):
    """One entry of a problem's `errors[]`: where, and what is wrong there. The stock fields serve shortages."""

    pointer: str | None = None
    detail: str | None = None
    sku: str | None = None
    requested: int | None = None
    available: int | None = None


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A definite no, with a stable snake_case code."""

    status: ClassVar[int] = 400

    def __init__(self, code: str, detail: str, *, errors: tuple[Flaw, ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors


class Malformed(Refused):
    """Not what the protocol allows; `status` may name a finer 4xx (405, 413, 414, 415, 431)."""

    def __init__(self, code: str, detail: str, *, status: int = 400, errors: tuple[Flaw, ...] = ()) -> None:
        super().__init__(code, detail, errors=errors)
        self.status = status  # type: ignore[misc]


class Unauthenticated(Refused):
    """401: who is asking could not be verified."""

    status = 401


class Denied(Refused):
    """403: verified, and not allowed."""

    status = 403


class NotFound(Refused):
    """404: does not exist for the one who asks."""

    status = 404


class Conflict(Refused):
    """409: the state of the thing forbids it."""

    status = 409


class Gone(Refused):
    """410: it was there, and its time is over."""

    status = 410


class Invalid(Refused):
    """422: well-formed, and wrong."""

    status = 422


class TooMany(Refused):
    """429: asked too often; again after `retry_after_s` seconds."""

    status = 429

    def __init__(self, code: str, detail: str, *, retry_after_s: float) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


class Unavailable(Exception):  # noqa: N818
    """503: ask again, the same call, after `retry_after_s` seconds. It does not say that nothing happened."""

    def __init__(self, code: str, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class InDoubt(Exception):  # noqa: N818
    """A peer gave no clear answer: the call may have had its effect, or may have it later."""

    def __init__(self, peer: str, detail: str) -> None:
        super().__init__(f"{peer}: {detail}")
        self.peer = peer
        self.detail = detail
