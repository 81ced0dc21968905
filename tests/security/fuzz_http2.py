"""Coverage-guided bytes for the client's end of HTTP/2: `make fuzz`, or `python -m tests.security.fuzz_http2 -help=1`.

The connection runs without sockets and without a loop. Nothing may be raised, no call may stay without an outcome, and
what we write must be frames.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["autogrocery.kit.rpc", "hpack"]):
    from autogrocery.kit.rpc import frames
    from autogrocery.kit.rpc.client_call import Call
    from autogrocery.kit.rpc.connection import Connection
    from autogrocery.kit.rpc.frames import FrameReader
    from autogrocery.kit.rpc.status import Code, RpcError

CALLS: Final = 3
LONGEST: Final = 4_096
LOOP: Final = asyncio.new_event_loop()


class StillLoop:
    """The part of an event loop that a connection uses; what it schedules runs when a test says so."""

    def __init__(self) -> None:
        self.soon: list[Any] = []

    def create_future(self) -> asyncio.Future[Any]:
        return LOOP.create_future()

    def time(self) -> float:
        return 0.0

    def call_soon(self, act: Any) -> None:
        self.soon.append(act)

    def call_later(self, _after_s: float, _act: Any, *_: Any) -> Any:
        return self

    def cancel(self) -> None:
        pass

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close


class Queue:
    """An owner that makes each unprocessed call again while there is room."""

    def __init__(self) -> None:
        self.again: list[Call] = []

    def on_room(self, connection: Connection) -> None:
        while self.again and connection.has_room():
            connection.start(self.again.pop())

    def on_unprocessed(self, call: Call) -> None:
        call.attempts += 1
        if call.attempts < CALLS:
            self.again.append(call)
        else:
            call.end(RpcError(Code.UNAVAILABLE))

    def on_leaving(self, _connection: Connection) -> None:
        while self.again:
            self.again.pop().end(RpcError(Code.UNAVAILABLE))


def fuzz_one(data: bytes) -> None:
    """Give the bytes after the first to a connection with calls, in pieces as long as the first says."""
    loop, wire, owner, live = StillLoop(), Wire(), Queue(), {}
    connection = Connection(owner, loop)  # type: ignore[arg-type]
    connection.connection_made(wire)
    connection.data_received(frames.settings({}))
    for number in range(CALLS):
        live[number] = Call(number, LOOP.create_future(), frames.frame(1, 4, 0)[:5], b"\0\0\0\0\x01x", live)
    calls = list(live.values())
    for call in calls:
        if connection.has_room():
            connection.start(call)
    size = (data[0] if data else 0) or LONGEST
    for start in range(1, len(data), size):
        connection.data_received(data[start : start + size])
        loop.run()
    connection.connection_lost(None)
    loop.run()
    owner.on_leaving(connection)
    assert all(isinstance(call.outcome.result(), bytes | RpcError) for call in calls)
    assert not live
    assert all(frame is not None for frame in FrameReader(frames.PREFACE).feed(wire.written))


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
