"""Mail: over SMTP, or as .eml files if SMTP_URL is unset. A failure to send never changes an order."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from autogrocery.kit.errors import Invalid, Unavailable
from autogrocery.kit.messages.mail_address import parse_sender
from autogrocery.kit.messages.smtp_url import parse_smtp_url
from autogrocery.kit.process import faults
from autogrocery.kit.process.log import log
from autogrocery.notifier.peers.smtp import MailRefusedError, NotBegunError, UnsupportedError, open_smtp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.messages.mail_address import MailAddress
    from autogrocery.kit.messages.smtp_url import SmtpServer
    from autogrocery.notifier.core.receipt_mail import ReceiptMail
    from autogrocery.notifier.peers.smtp import SmtpConnection

DEADLINE_S: Final = 20.0  # for one mail, a new connection included; so what has begun ends within its row's lease
MAX_MAILS: Final = 100  # on one connection, as many servers allow
MAX_AGE_S: Final = 60.0  # of a connection, so that a server that was moved is found
MAX_IDLE_S: Final = 5.0  # below the time after which any server closes it
PERMANENT: Final = 500  # RFC 5321 §4.2.1: a 5yz reply is permanent


class Mail(Protocol):
    """Where receipts go; `sender` is their From address."""

    sender: MailAddress

    async def send(self, mail: ReceiptMail) -> None:
        """Send one mail.

        Raises Invalid if the server will never accept it, Unavailable if it may accept it later.
        """


class SmtpMail:
    """Sends mails to an SMTP server, many on a connection. It opens as many as there are concurrent calls."""

    def __init__(
        self,
        server: SmtpServer,
        sender: MailAddress,
        *,
        deadline_s: float = DEADLINE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` verifies the server's certificate; None uses this machine's authorities."""
        self.sender = sender
        self._server = server
        self._deadline_s = deadline_s
        self._tls = tls or ssl.create_default_context()
        self._idle: list[SmtpConnection] = []
        self._closing: dict[SmtpConnection, asyncio.TimerHandle] = {}

    async def send(self, mail: ReceiptMail) -> None:
        """Send one mail, as `Mail` promises."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await faults.through("mail.send", lambda: self._send(mail))
        except MailRefusedError as refusal:
            if refusal.code >= PERMANENT:
                raise Invalid("mail_refused", str(refusal)) from refusal
            raise Unavailable("mail_deferred", str(refusal)) from refusal
        except UnsupportedError:
            raise Invalid("smtputf8_unsupported", "the server takes no addresses beyond ASCII") from None
        except (OSError, TimeoutError) as error:
            # A 5yz reply to greeting, login or sender is about this mart, not about this mail, so it is worth a retry.
            raise Unavailable("mail_unavailable", type(error).__name__) from error

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._take_idle().close()

    async def _send(self, mail: ReceiptMail) -> None:
        while self._idle:
            connection = self._take_idle()
            if not connection.usable:
                connection.close()
                continue
            try:
                return await self._send_on(connection, mail)
            except NotBegunError:  # the server had closed it, or was about to
                break
        return await self._send_on(await open_smtp(self._server, self._tls), mail)

    async def _send_on(self, connection: SmtpConnection, mail: ReceiptMail) -> None:
        loop = asyncio.get_running_loop()
        try:
            await connection.send(mail)
        finally:
            aged = connection.mails >= MAX_MAILS or loop.time() - connection.opened_at >= MAX_AGE_S
            if connection.usable and not aged:
                self._idle.append(connection)
                self._closing[connection] = loop.call_later(MAX_IDLE_S, self._close_idle, connection)
            else:
                connection.close()

    def _take_idle(self) -> SmtpConnection:
        connection = self._idle.pop()
        self._closing.pop(connection).cancel()
        return connection

    def _close_idle(self, connection: SmtpConnection) -> None:
        self._idle.remove(connection)
        del self._closing[connection]
        connection.close()


class FolderMail:
    """Writes mails as files into a folder, one after the other: this process has nothing else to do meanwhile."""

    def __init__(self, folder: Path, sender: MailAddress) -> None:
        self.sender = sender
        self._folder = folder

    async def send(self, mail: ReceiptMail) -> None:
        """Write the file atomically, replacing one of the same name; raises Unavailable if it can't be written."""
        try:
            await faults.through("mail.write", lambda: self._write(mail))
        except OSError as error:
            raise Unavailable("mail_not_written", type(error).__name__) from error

    async def _write(self, mail: ReceiptMail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{mail.name}.eml"
        part = path.with_suffix(".part")
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(file, "wb") as opened:
                opened.write(mail.content)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        part.replace(path)


@asynccontextmanager
async def open_mail(url: str, home: str, sender: str) -> AsyncIterator[Mail]:
    """Return a Mail for SMTP_URL; without one, mails are files in `home`/receipts.

    Raises SettingsError if SMTP_URL or RECEIPT_FROM is malformed.
    """
    address = parse_sender("RECEIPT_FROM", sender)
    if not url:
        folder = Path(home or ".") / "receipts"
        log.info("smtp_server_not_set", folder=str(folder))
        yield FolderMail(folder, address)
        return
    mail = SmtpMail(parse_smtp_url(url), address)
    try:
        yield mail
    finally:
        mail.close()
