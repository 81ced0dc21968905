"""The scenarios of fault injection, and the environment that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import Struct

from autogrocery.gateway.core.quote import order_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.gateway.wire.accounts import TokensOut


class Subject(Struct):
    """One device: its order's key, the tokens that it uses, and the newest of their family if those are older."""

    user_id: int
    key: str
    tokens: TokensOut | None = None
    newest: TokensOut | None = None

    @property
    def order_id(self) -> UUID:
        return order_id_of(self.user_id, self.key)


class Environment(Protocol):
    """A process that can be restarted, and what outlives it."""

    async def device(self, device_id: str) -> int:
        """Register a device; returns its user id."""

    async def restart(self) -> None:
        """End the process and start the next one."""

    async def run_loops(self, subject: Subject | None = None) -> None:
        """Make everything owed due, the subject's order included, and run every loop once."""

    async def expire_quote(self, subject: Subject) -> None:
        """Make the subject's quote or hold overdue."""

    async def count_owed(self) -> int:
        """Count what the loops still owe."""

    async def violations(self) -> list[str]:
        """Return the violations that the audit finds."""


S = TypeVar("S", bound=Environment)


class Scenario(Struct, Generic[S], frozen=True):
    """An operation under test.

    `prepare` makes the state before it. `act` is the operation; a caller that retries repeats it unchanged until the
    answer is definite (202 is: the loops go on). `check` returns what is wrong after the loops, given whether the
    caller retried.
    """

    name: str
    act: Callable[[S, Subject], Awaitable[object]]
    prepare: Callable[[S, Subject], Awaitable[object]]
    check: Callable[[S, Subject, bool], Awaitable[list[str]]]
    refused: frozenset[str] = frozenset()  # problem codes that are a right and definite answer here


async def no_preparation(_stage: object, _subject: Subject) -> None:
    """Prepare nothing."""
