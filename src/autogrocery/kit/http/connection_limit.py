"""A limit of connections for one listener: at the limit, the connection that has been idle longest is closed."""

from __future__ import annotations

from typing import Protocol


class LimitedConnection(Protocol):
    """A connection that can be closed to make room."""

    def abort(self) -> None:
        """Close at once; no request is in flight here."""


class ConnectionLimit:
    """At most `max_connections` connections. One is idle from its start or its last response until its next request.

    A head that is half sent counts as idle: otherwise slow heads would keep every place.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._connections: set[LimitedConnection] = set()
        self._idle: dict[LimitedConnection, None] = {}  # the longest idle first

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
