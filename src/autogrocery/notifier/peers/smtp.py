"""The client's end of one SMTP connection, which carries many mails (RFC 5321, with PIPELINING of RFC 2920)."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

if TYPE_CHECKING:
    from ssl import SSLContext

    from autogrocery.kit.messages.smtp_url import SmtpServer
    from autogrocery.notifier.core.receipt_mail import ReceiptMail

MAX_REPLY_BYTES: Final = 65_536  # RFC 5321 §4.5.3.1.5 allows lines of 512; a greeting may have many
MAX_REPLIES: Final = 16  # more than there are commands on their way: the server sends replies to none of them
CODE_DIGITS: Final = 3
READY, START_DATA, CLOSING = 220, 354, 421
OK: Final = range(200, 300)
REFUSAL: Final = 400  # RFC 5321 §4.2.1: 4yz is temporary, 5yz permanent
CHALLENGE: Final = 334  # RFC 4954 §4: the server asks for the next line of the login


class SmtpError(ConnectionError):
    """The server can't be used, or not now: about this connection, never about a mail."""


class NotBegunError(SmtpError):
    """The connection ended before the server had the mail, so the mail may be sent again at once."""


class MailRefusedError(Exception):
    """The server's reply to the recipient or to the mail was `code`, 4yz or 5yz."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the server answered {code}")
        self.code = code


class UnsupportedError(Exception):
    """The server lacks SMTPUTF8 (RFC 6531), without which it can't take a name beyond ASCII."""


class Reply(Struct, frozen=True):
    """A reply: its code, and the text of its lines."""

    code: int
    lines: tuple[str, ...]


class SmtpConnection(asyncio.Protocol):
    """One connection; `open_smtp` makes it. It carries one mail at a time; close it after an error or a timeout."""

    def __init__(self) -> None:
        self.extensions: dict[str, str] = {}
        self.opened_at = 0.0
        self.mails = 0
        self.in_use = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._pending_bytes = 0
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    @property
    def usable(self) -> bool:
        """Return whether a mail can begin: the server has not closed the connection, nor announced that it will."""
        return not (self._lost or self._replies or self.in_use)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; after STARTTLS it is another."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, _error: Exception | None) -> None:
        """Wake whoever waits for a reply."""
        self._lost = True
        self._wake()

    def data_received(self, received: bytes) -> None:
        """Take the complete replies out of what was received; a server that breaks the protocol is cut off."""
        self._buffer += received
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].rstrip(b"\r").decode("utf-8", "replace")
            del self._buffer[: end + 1]
            self._pending_bytes += end
            code, mark = line[:CODE_DIGITS], line[CODE_DIGITS : CODE_DIGITS + 1]
            if not (code.isascii() and code.isdigit() and len(code) == CODE_DIGITS and mark in {"", " ", "-"}):
                self.abort()
                return
            self._lines.append(line[CODE_DIGITS + 1 :])
            if mark != "-":
                self._replies.append(Reply(int(code), tuple(self._lines)))
                self._lines.clear()
                self._pending_bytes = 0
        if self._pending_bytes + len(self._buffer) > MAX_REPLY_BYTES or len(self._replies) > MAX_REPLIES:
            self.abort()
        elif self._replies:
            self._wake()

    def close(self) -> None:
        """Say goodbye and close, without waiting for the server's; within a mail, close at once."""
        if self.in_use or self._lost or self._transport is None:
            self.abort()
            return
        self._transport.write(b"QUIT\r\n")
        self._lost = True
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._lost = True
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def await_greeting(self) -> None:
        """Wait until the server greets; raises SmtpError if it does not want to be used."""
        greeting = await self._reply()
        if greeting.code != READY:
            raise SmtpError(f"the server answered {greeting.code}")

    async def greet(self) -> None:
        """Say EHLO, or HELO if the server does not know it, and keep the extensions that it offers."""
        name = self._own_name()
        reply = await self.command(f"EHLO {name}")
        if reply.code not in OK:
            reply = await self.command(f"HELO {name}")
            _require(reply)
        offered = (line.partition(" ") for line in reply.lines[1:])
        self.extensions = {keyword.upper(): parameters for keyword, _, parameters in offered}

    async def start_tls(self, context: SSLContext, host: str) -> None:
        """Change to TLS and greet again; raises SSLError if the certificate is not the host's."""
        reply = await self.command("STARTTLS")
        if reply.code != READY or self._buffer or self._replies or self._transport is None:
            raise SmtpError("STARTTLS was not answered by itself")  # what follows in plain text may be an attacker's
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self._transport, self, context, server_hostname=host)
        if transport is None:
            raise SmtpError("the connection was lost")
        self.connection_made(transport)
        await self.greet()

    async def log_in(self, user: str, password: str) -> None:
        """Log in by PLAIN (RFC 4616), or by LOGIN if the server offers nothing better."""
        mechanisms = self.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            _require(await self.command(f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}"))
        elif "LOGIN" in mechanisms:
            for line in ("AUTH LOGIN", _base64(user)):
                if (reply := await self.command(line)).code != CHALLENGE:
                    raise SmtpError(f"the server answered {reply.code}")
            _require(await self.command(_base64(password)))
        else:
            raise SmtpError("the server offers no login")

    async def command(self, line: str) -> Reply:
        """Send one command and return its reply; raises SmtpError if the connection is lost."""
        self._write(f"{line}\r\n".encode())
        return await self._reply()

    async def send(self, mail: ReceiptMail) -> None:
        """Send one mail.

        Raises MailRefusedError or UnsupportedError, after which the connection may be used again if it is `usable`;
        NotBegunError or another SmtpError after which it is closed.
        """
        utf8 = mail.recipient.needs_smtputf8
        if utf8 and "SMTPUTF8" not in self.extensions:
            raise UnsupportedError
        self.in_use = True
        self.mails += 1
        commands = (
            f"MAIL FROM:<{mail.sender}>{' BODY=8BITMIME SMTPUTF8' if utf8 else ''}\r\n".encode(),
            f"RCPT TO:<{mail.recipient}>\r\n".encode(),
            b"DATA\r\n",
        )
        try:
            replies = await self._begin(commands)
        except SmtpError as error:
            raise NotBegunError(str(error)) from error
        if replies[0].code not in OK:  # about the sender, so about this mart
            kind = NotBegunError if replies[0].code == CLOSING else SmtpError
            raise kind(f"the server answered {replies[0].code}")
        if replies[1].code not in OK or replies[2].code != START_DATA:
            await self._forget(replies)
        self._write(mail.content.replace(b"\r\n.", b"\r\n..") + b".\r\n")  # RFC 5321 §4.5.2; it begins with "From:"
        reply = await self._reply()
        self.in_use = reply.code == CLOSING
        if reply.code >= REFUSAL:
            raise MailRefusedError(reply.code)
        if reply.code not in OK:
            self.in_use = True
            raise SmtpError("the server answered neither yes nor no")

    async def _begin(self, commands: tuple[bytes, ...]) -> list[Reply]:
        """Send the commands, all at once if the server takes that; return their replies, up to the first refusal."""
        if "PIPELINING" in self.extensions:
            self._write(b"".join(commands))
            return [await self._reply() for _ in commands]
        replies: list[Reply] = []
        for command in commands:
            self._write(command)
            replies.append(await self._reply())
            if replies[-1].code >= REFUSAL:
                break
        return replies

    async def _forget(self, replies: list[Reply]) -> None:
        """Raise the refusal of a recipient or of DATA. The connection goes on if the server forgets the transaction."""
        refused = next((reply for reply in replies[1:] if reply.code >= REFUSAL), None)
        if refused is None:
            raise SmtpError("the server answered neither yes nor no")
        took_data = replies[-1].code == START_DATA  # without a recipient: the server waits for a mail that is none
        if refused.code != CLOSING and not took_data:
            self.in_use = (await self.command("RSET")).code not in OK
        raise MailRefusedError(refused.code)

    async def _reply(self) -> Reply:
        while not self._replies:
            if self._lost:
                raise SmtpError("the connection was lost")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._replies.popleft()

    def _write(self, sent: bytes) -> None:
        if self._lost or self._transport is None:
            raise SmtpError("the connection was lost")
        self._transport.write(sent)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _own_name(self) -> str:
        """Return this machine's name for EHLO: a full one, or the address literal of RFC 5321 §4.1.3."""
        name = socket.gethostname()
        if "." in name and name.isascii():
            return name
        assert self._transport is not None
        address = str(self._transport.get_extra_info("sockname")[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


async def open_smtp(server: SmtpServer, context: SSLContext) -> SmtpConnection:
    """Connect, under TLS as the server's URL and offer say, and log in; raises OSError, of which SmtpError is one."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        SmtpConnection, server.host, server.port, ssl=context if server.implicit_tls else None
    )
    try:
        connection.opened_at = loop.time()
        await connection.await_greeting()
        await connection.greet()
        if not server.implicit_tls and (server.require_tls or "STARTTLS" in connection.extensions):
            await connection.start_tls(context, server.host)
        if server.user:
            await connection.log_in(server.user, server.password)
    except BaseException:
        connection.abort()
        raise
    return connection


def _require(reply: Reply) -> None:
    if reply.code not in OK:
        raise SmtpError(f"the server answered {reply.code}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
