"""The state of one robot, as its own process would keep it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator


class Account(Struct, frozen=True):
    """A robot's login, as the credentials file has it."""

    robot_id: str
    robot_class: str
    password: str


class Tokens(Struct, frozen=True):
    """The response to a login or refresh; `expires_in` is in seconds."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: float


class Session(Struct, frozen=True):
    """Tokens, and when the access token has to be renewed (seconds on the monotonic clock)."""

    tokens: Tokens
    renew_at: float


class Robot:
    """A robot's session, the fences it holds, and whether it plays dead (`offline`).

    `acknowledged` is set once inventory has acknowledged a heartbeat.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.robot_id = account.robot_id
        self.robot_class = account.robot_class
        self.session: Session | None = None
        self.logged_in_at = float("-inf")
        self.session_lock = asyncio.Lock()
        self.acknowledged = asyncio.Event()
        self.offline = False
        self._reports = 0
        self._held: dict[int, asyncio.Event] = {}

    @property
    def fences(self) -> list[int]:
        """The fences that the robot holds."""
        return list(self._held)

    def next_sequence(self) -> int:
        """Return the number of the next report: 1, 2, 3…; repeats of a report keep its number."""
        self._reports += 1
        return self._reports

    @contextmanager
    def holding(self, fence: int) -> Iterator[asyncio.Event]:
        """Hold a fence while the context lasts; the event is set once another robot has the assignment."""
        lost = self._held[fence] = asyncio.Event()
        try:
            yield lost
        finally:
            self._held.pop(fence, None)

    def lose(self, fence: int) -> None:
        """Mark a fence as lost: another robot has its assignment."""
        if fence in self._held:
            self._held[fence].set()


async def is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    """Wait for an event, at most `wait_s` seconds, and return whether it is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), wait_s)
    return event.is_set()
