"""A line of the report: one promise, the function that checks it, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROMISES: Final = "docs/PROTOCOL.md#what-a-peer-promises"
DEADLINES: Final = "docs/PROTOCOL.md#deadlines"
CALLS: Final = "docs/CONTRACT.md#grpc"
WEBHOOKS: Final = "docs/CONTRACT.md#internal-rest"


class Failed(Exception):  # noqa: N818 - a finding about the peer, not an error of the kit
    """The peer broke the promise; the message says what was expected and what it answered."""


class Unimplemented(Failed):
    """The peer does not know the call."""


class NotChecked(Exception):  # noqa: N818
    """The promise can't be checked in this run; the message says why and what is needed."""


class Outcome(StrEnum):
    """What came of a line."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Line(Struct, frozen=True):
    """One promise. `check` raises Failed or NotChecked; a line is not checked if one of `needs` did not pass."""

    line_id: str
    promise: str
    link: str
    check: Callable[[Any], Awaitable[None]]
    needs: tuple[str, ...] = ()


class Exchange(Struct, frozen=True):
    """One call: what was asked and what was answered, as text."""

    asked: str
    answered: str


class Result(Struct, frozen=True):
    """What came of a line; `exchanges` are the last calls before a failure."""

    line_id: str
    promise: str
    link: str
    outcome: Outcome
    took_s: float
    detail: str = ""
    exchanges: tuple[Exchange, ...] = ()


def expect(kept: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence where it is called
    """Raise Failed with the message `otherwise` unless `kept`."""
    if not kept:
        raise Failed(otherwise)
