"""An SMTP server that keeps no message: the receipts of a run go to it over real connections, and it counts them.

`python -m bench.mail_sink` serves on a free port of loopback, which it prints, until standard input ends. Each line of
standard input is a SinkCommand and is answered by a line of SinkCounts. It speaks SMTP (RFC 5321) with PIPELINING
(RFC 2920), 8BITMIME (RFC 6152) and SMTPUTF8 (RFC 6531).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

import msgspec
import uvloop
from msgspec import Struct

from bench.processes import open_module, read_line, write_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME: Final = "mail sink"
HOST: Final = "127.0.0.1"
ANSWER_S: Final = 10.0
MAX_BUFFERED: Final = 1 << 20  # bytes of one connection: a receipt has some kilobytes
END_OF_MESSAGE: Final = b"\r\n.\r\n"
MESSAGE_ID: Final = re.compile(rb"^message-id:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
GREETING: Final = b"220 sink ESMTP\r\n"
EXTENSIONS: Final = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
OK: Final = b"250 OK\r\n"
REPLIES: Final = {
    b"HELO": b"250 sink\r\n",
    b"EHLO": EXTENSIONS,
    b"NOOP": OK,
    b"QUIT": b"221 Bye\r\n",
}


class SinkCommand(Struct, frozen=True):
    """What the sink is to do from now on; None leaves it as it is.

    `delay_s`: seconds before the reply to a message. `refuse`: the code of that reply, 0 to accept messages. `forget`:
    begin to count anew.
    """

    delay_s: float | None = None
    refuse: int | None = None
    forget: bool = False


class SinkCounts(Struct, frozen=True):
    """Messages accepted since the counts began; `distinct`: their different Message-IDs; `refused`: not accepted."""

    messages: int
    distinct: int
    refused: int


class Sink:
    """The counts and the behaviour that all sessions share."""

    def __init__(self, delay_s: float = 0.0, refuse: int = 0) -> None:
        self.delay_s = delay_s
        self._refuse = refuse
        self._messages = self._refused = 0
        self._ids: set[bytes] = set()

    def obey(self, command: SinkCommand) -> SinkCounts:
        """Change the behaviour and return the counts."""
        self.delay_s = self.delay_s if command.delay_s is None else command.delay_s
        self._refuse = self._refuse if command.refuse is None else command.refuse
        if command.forget:
            self._messages = self._refused = 0
            self._ids.clear()
        return SinkCounts(self._messages, len(self._ids), self._refused)

    def receive(self, message: bytes) -> bytes:
        """Count a message and return the reply to it."""
        if self._refuse:
            self._refused += 1
            return b"%d Not now\r\n" % self._refuse
        self._messages += 1
        found = MESSAGE_ID.search(message)
        self._ids.add(found[1] if found else b"message %d without an id" % self._messages)
        return OK


class SmtpSession(asyncio.Protocol):
    """One connection. Commands that arrive while a reply is delayed wait for it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._has_recipient = self._in_message = self._delayed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not inherit from it
        self._transport.write(GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer all whole commands and messages, in one write."""
        self._buffer += data
        if len(self._buffer) > MAX_BUFFERED and self._transport is not None:
            self._transport.abort()
            return
        self._answer()

    def _answer(self) -> None:
        replies = []
        while not self._delayed:
            if self._in_message:
                message, end, rest = self._buffer.partition(END_OF_MESSAGE)
                if not end:
                    break
                self._buffer, self._in_message, self._has_recipient = rest, False, False
                reply = self._sink.receive(message)
                if self._sink.delay_s > 0.0:
                    self._delayed = True
                    asyncio.get_running_loop().call_later(self._sink.delay_s, self._end_delay, reply)
                else:
                    replies.append(reply)
            else:
                line, end, rest = self._buffer.partition(b"\r\n")
                if not end:
                    break
                self._buffer = rest
                replies.append(self._reply_to(line[:4].upper()))
        self._write(b"".join(replies))

    def _end_delay(self, reply: bytes) -> None:
        self._delayed = False
        self._write(reply)
        self._answer()

    def _write(self, replies: bytes) -> None:
        if self._transport is None or not replies:
            return
        self._transport.write(replies)
        if replies.endswith(REPLIES[b"QUIT"]):
            self._transport.close()

    def _reply_to(self, verb: bytes) -> bytes:
        if verb in {b"MAIL", b"RSET"}:
            self._has_recipient = False
            return OK
        if verb == b"RCPT":
            self._has_recipient = True
            return OK
        if verb == b"DATA":
            if not self._has_recipient:
                return b"503 RCPT comes first\r\n"
            self._in_message = True
            self._buffer = b"\r\n" + self._buffer  # so that a message of no lines ends as any other
            return b"354 Go on\r\n"
        return REPLIES.get(verb, b"500 Unknown command\r\n")


async def serve(sink: Sink) -> None:
    """Serve until standard input ends; prints the port, then an answer to each line of standard input."""
    loop, commands = asyncio.get_running_loop(), asyncio.StreamReader()
    server = await loop.create_server(lambda: SmtpSession(sink), HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        counts = sink.obey(msgspec.json.decode(line, type=SinkCommand))
        print(msgspec.json.encode(counts).decode(), flush=True)
    server.close()


class MailSink:
    """A running sink, as the benchmark sees it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.pid = process.pid
        self.url = f"smtp://{HOST}:{port}"

    async def command(self, command: SinkCommand) -> SinkCounts:
        """Send a command and return the counts; raises TimeoutError after ANSWER_S, RuntimeError if the sink ended."""
        await write_line(self._process, msgspec.json.encode(command))
        return msgspec.json.decode(await read_line(self._process, ANSWER_S), type=SinkCounts)

    async def counts(self) -> SinkCounts:
        """Return the counts."""
        return await self.command(SinkCommand())


@asynccontextmanager
async def open_mail_sink() -> AsyncIterator[MailSink]:
    """Run a sink in a process of its own."""
    async with open_module("bench.mail_sink") as process:
        yield MailSink(process, int(await read_line(process, ANSWER_S)))


def main() -> int:
    """Serve with the behaviour that the command line names."""
    parser = argparse.ArgumentParser(description="An SMTP server that counts messages and keeps none.")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds before the reply to a message")
    parser.add_argument("--refuse", type=int, default=0, help="code of the reply to a message, such as 451 or 550")
    options = parser.parse_args()
    uvloop.run(serve(Sink(options.delay_s, options.refuse)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
