"""One robot, as its own process would remember it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator


class Account(Struct, frozen=True):
    """What a robot logs in with, as it stands in the credentials file."""

    robot_id: str
    robot_class: str
    password: str


class Tokens(Struct, frozen=True):
    """A login's answer; `expires_in` is in seconds."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: float


class Session(Struct, frozen=True):
    """Tokens and when, by the monotonic clock, the access token has to be renewed."""

    tokens: Tokens
    renew_at: float


class Robot:
    """A robot's memory: its session, the fences it holds, whether it lies dead somewhere (`away`).

    `known` is set once the inventory has heard of it.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.robot_id = account.robot_id
        self.robot_class = account.robot_class
        self.session: Session | None = None
        self.logged_in_at = float("-inf")
        self.login_turn = asyncio.Lock()
        self.known = asyncio.Event()
        self.away = False
        self._reports = 0
        self._held: dict[int, asyncio.Event] = {}

    @property
    def fences(self) -> list[int]:
        """The fences it holds."""
        return list(self._held)

    def next_sequence(self) -> int:
        """Number a report: 1, 2, 3…; its repeats keep the number."""
        self._reports += 1
        return self._reports

    @contextmanager
    def holding(self, fence: int) -> Iterator[asyncio.Event]:
        """Hold a fence while the context lasts; the event is set when another robot has it."""
        lost = self._held[fence] = asyncio.Event()
        try:
            yield lost
        finally:
            self._held.pop(fence, None)

    def lose(self, fence: int) -> None:
        """Another robot has what this fence stood for."""
        if fence in self._held:
            self._held[fence].set()


async def is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    """Wait for an event, for at most `wait_s` seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), wait_s)
    return event.is_set()
