"""The connections of one listener: a bounded crowd, in which whoever has waited longest without a request goes first."""

from __future__ import annotations

from typing import Protocol


class Member(Protocol):
    """A connection, as the crowd sees it."""

    def shed(self) -> None:
        """End at once: nothing is in work here."""


class Crowd:
    """At most `most` connections. One that has no request in work waits, since its last answer or its beginning.

    A head that is half sent counts as waiting: a thousand of them make no room for themselves.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._members: set[Member] = set()
        self._waiting: dict[Member, None] = {}  # the longest first

    def join(self, member: Member) -> bool:
        """Let a connection in, in place of the longest waiting one if need be; False if all others are at work."""
        if len(self._members) >= self._most:
            longest = next(iter(self._waiting), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.shed()
        self._members.add(member)
        self._waiting[member] = None
        return True

    def work(self, member: Member) -> None:
        """Note that a request is in work there."""
        self._waiting.pop(member, None)

    def wait(self, member: Member) -> None:
        """Note that it waits, from now on."""
        self._waiting.pop(member, None)
        if member in self._members:
            self._waiting[member] = None

    def leave(self, member: Member) -> None:
        """Forget a connection."""
        self._members.discard(member)
        self._waiting.pop(member, None)
