"""What a deed under test is, and the stage it is played on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import Struct

from autogrocery.gateway.core.quote import order_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.gateway.wire.accounts import TokensOut


class Subject(Struct):
    """One device, what it calls its order, the tokens it shows, and the newest of its family if it shows others."""

    user_id: int
    key: str
    tokens: TokensOut | None = None
    newest: TokensOut | None = None

    @property
    def order_id(self) -> UUID:
        return order_id_of(self.user_id, self.key)


class Stage(Protocol):
    """A process that can die and come back, and what outlives it."""

    async def device(self, device_id: str) -> int:
        """A new device's user id."""

    async def restart(self) -> None:
        """End the process and start the next one."""

    async def sweep(self, one: Subject | None = None) -> None:
        """One turn of every loop, with all that waits for its time being due, `one`'s order above all."""

    async def time_passes(self, one: Subject) -> None:
        """Let what the subject holds run out."""

    async def owed(self) -> int:
        """How much is still to be done by the loops alone."""

    async def violations(self) -> list[str]:
        """What the audit finds."""


S = TypeVar("S", bound=Stage)


class Scenario(Struct, Generic[S], frozen=True):
    """A deed under test; `rest` returns what is wrong once all is quiet, whether its caller insisted or walked away.

    `act` is what its caller repeats word for word until it hears a definite answer (a 202 is one: the loops go on).
    """

    name: str
    act: Callable[[S, Subject], Awaitable[object]]
    prepare: Callable[[S, Subject], Awaitable[object]]
    rest: Callable[[S, Subject, bool], Awaitable[list[str]]]
    refused: frozenset[str] = frozenset()  # codes that are a definite and right answer here


async def nothing(_stage: object, _one: Subject) -> None:
    """There is nothing to prepare."""
