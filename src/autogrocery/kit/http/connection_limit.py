"""A limit of connections for one listener: at the limit, the connection that has been idle longest is closed."""

from __future__ import annotations

import asyncio
from typing import Protocol


class LimitedConnection(Protocol):
    """A connection that can be closed to make room."""

    def abort(self) -> None:
        """Close at once."""

    def drain(self) -> None:
        """Close after the requests that were read."""


class ConnectionLimit:
    """At most `max_connections` connections. One is idle from its start or its last response until its next request.

    A head that is half sent counts as idle: otherwise slow heads would keep every place.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._connections: set[LimitedConnection] = set()
        self._idle: dict[LimitedConnection, None] = {}  # the longest idle first
        self._closed = asyncio.Event()  # every connection

    def join(self, connection: LimitedConnection) -> bool:
        """Add a connection, if need be in place of the longest idle one; returns False if all are busy."""
        if len(self._connections) >= self._max_connections:
            longest = next(iter(self._idle), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.abort()
        self._connections.add(connection)
        self._idle[connection] = None
        return True

    def work(self, connection: LimitedConnection) -> None:
        """Mark a connection busy."""
        self._idle.pop(connection, None)

    def wait(self, connection: LimitedConnection) -> None:
        """Mark a connection idle from now on."""
        self._idle.pop(connection, None)
        if connection in self._connections:
            self._idle[connection] = None

    def leave(self, connection: LimitedConnection) -> None:
        """Remove a connection."""
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        if not self._connections:
            self._closed.set()

    async def drain(self, within_s: float) -> None:
        """Close all connections after their requests, at once those that are still open after `within_s` seconds."""
        self._closed.clear()
        if not self._connections:
            return
        for connection in list(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(within_s):
                await self._closed.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
