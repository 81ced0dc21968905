"""An HTTP/2 server without any library, which sends whatever a test wants, and keeps what it was sent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.frames import frame
from autogrocery.kit.rpc.header_blocks import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from ssl import SSLContext

END: Final = frames.END_STREAM
SETTINGS: Final = frame(frames.SETTINGS, 0, 0)
GRPC: Final = {b":status": b"200", b"content-type": b"application/grpc"}
OK: Final = {b"grpc-status": b"0"}
EMPTY_MESSAGE: Final = b"\0" * 5


def headers(stream: int, fields: dict[bytes, bytes], *, end: bool) -> bytes:
    return frame(frames.HEADERS, frames.END_HEADERS | (END if end else 0), stream, encode(fields.items()))


def answer_of(stream: int, trailers: dict[bytes, bytes] = OK, message: bytes = EMPTY_MESSAGE) -> bytes:
    """Return a header, a message and trailers."""
    head, body = headers(stream, GRPC, end=False), frame(frames.DATA, 0, stream, message)
    return head + body + headers(stream, trailers, end=True)


class Parser(frames.FrameReader):
    """Reads what a client sends in answer to a flood, too."""

    def note_idle(self) -> None:
        pass


class Session(Struct):
    """One connection: the frames that came, and the way back."""

    writer: asyncio.StreamWriter
    came: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def of(self, kind: int) -> list[tuple[int, int, int, bytes]]:
        return [one for one in self.came if one[0] == kind]

    def send(self, data: bytes) -> None:
        self.writer.write(data)


class RawServer(Struct):
    """Sends `first` on each connection, and what `answer` returns for each request; None closes the connection."""

    answer: Callable[[Session, int], bytes | None]
    first: bytes = SETTINGS
    sessions: list[Session] = field(default_factory=list)
    port: int = 0

    @property
    def requests(self) -> int:
        return sum(len(session.of(frames.HEADERS)) for session in self.sessions)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(writer)
        self.sessions.append(session)
        parser = Parser(frames.PREFACE)
        writer.write(self.first)
        try:
            while data := await reader.read(1 << 16):
                for kind, flags, stream, payload in parser.feed(data):
                    session.came.append((kind, flags, stream, payload))
                    if kind == frames.SETTINGS and not flags & frames.ACK:
                        writer.write(frames.SETTINGS_ACK)
                    if kind == frames.DATA and flags & END:
                        reply = self.answer(session, stream)
                        if reply is None:
                            return
                        writer.write(reply)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving_raw(
    answer: Callable[[Session, int], bytes | None], first: bytes = SETTINGS, tls: SSLContext | None = None
) -> AsyncIterator[RawServer]:
    raw = RawServer(answer, first)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        raw.port = server.sockets[0].getsockname()[1]
        yield raw
