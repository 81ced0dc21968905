"""Mail: over SMTP, or as .eml files if SMTP_URL is unset. A failure to send never changes an order."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import aiosmtplib

from autogrocery.gateway.core.mail_address import parse_mail_address
from autogrocery.kit.errors import Invalid, Unavailable
from autogrocery.kit.process import faults
from autogrocery.kit.process.log import log
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.transport import LOOPBACK_HOSTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from ssl import SSLContext
    from urllib.parse import SplitResult

    from autogrocery.gateway.core.receipt import Receipt

TIMEOUT_S = 10.0  # for each SMTP command
QUIT_S = 1.0
DEADLINE_S = 20.0  # for the whole transaction; below an outbox row's lease, so that no other gateway sends it too
PERMANENT = 500  # RFC 5321 §4.2.1: a 5yz reply is permanent
SENDER = "receipts@autogrocery.invalid"


def receipt_mail(to: str, receipt: Receipt, *, name: str, at: datetime | None, sender: str = SENDER) -> EmailMessage:
    """Return a mail of text and HTML; the same arguments make the same bytes.

    Raises Invalid(bad_address) for a bad `to`.

    `name` must be unique among mails, of letters, digits and hyphens: Message-ID and MIME boundary contain it.
    """
    try:
        recipient = parse_mail_address(to)
    except ValueError:
        raise Invalid("bad_address", "the registry's e-mail address is malformed") from None
    mail = EmailMessage(policy=SMTPUTF8 if recipient.needs_smtputf8 else SMTP)
    mail["From"], mail["To"] = parse_mail_address(sender).header(), recipient.header()
    mail["Subject"] = receipt.subject
    mail["Message-ID"] = f"<{name}@{sender.rpartition('@')[2]}>"
    if at is not None:
        mail["Date"] = at
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: suppresses automatic replies, such as holiday notices
    mail.set_content(receipt.text, charset="utf-8", cte="quoted-printable")
    mail.add_alternative(receipt.html, subtype="html", charset="utf-8", cte="quoted-printable")
    mail.set_boundary(f"=_{name}")  # RFC 2045 §6.7: quoted-printable never holds "=_"
    return mail


class Mail:
    """Sends mails to the SMTP server of `url`, or writes them into `folder` if `url` is empty."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        sender: str = SENDER,
        deadline_s: float = DEADLINE_S,
        tls: SSLContext | None = None,
    ) -> None:
        """Send as `sender`. `tls` verifies the server's certificate; None uses this machine's authorities.

        Raises SettingsError for a malformed `url` or `sender`.
        """
        try:
            parts = urlsplit(url)
            known = not url or (parts.scheme in {"smtp", "smtps"} and bool(parts.hostname))
            self._port = parts.port or (465 if parts.scheme == "smtps" else 25)
        except ValueError:
            known = False
        if not known:
            raise SettingsError("SMTP_URL is malformed: expected smtp://host:port or smtps://host:port")
        try:
            self.sender = str(parse_mail_address(sender))
            self.sender.encode("ascii")
        except ValueError:
            raise SettingsError("RECEIPT_FROM is malformed: expected name@domain") from None
        self._parts = parts if url else None
        self._folder = folder
        self._deadline_s = deadline_s
        self._tls = tls

    async def send(self, mail: EmailMessage, name: str) -> None:
        """Send one mail; `name` is its file's name without a server.

        Raises Invalid if the server will never accept it, Unavailable if it may accept it later.
        """
        if self._parts is None:
            await faults.through("mail.write", lambda: asyncio.to_thread(self._write, mail, name))
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                await faults.through("mail.send", lambda: self._send_by_smtp(mail))
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
            code = error.recipients[0].code if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error.code
            if code >= PERMANENT:
                raise Invalid("mail_refused", f"the server answered {code}") from error
            raise Unavailable("mail_deferred", f"the server answered {code}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # A 5yz reply to greeting, login or sender is about this gateway, not about this mail, so it is worth a
            # retry.
            raise Unavailable("mail_unavailable", type(error).__name__) from error

    async def _send_by_smtp(self, mail: EmailMessage) -> None:
        assert self._parts is not None
        client = aiosmtplib.SMTP(
            hostname=self._parts.hostname,
            port=self._port,
            username=unquote(self._parts.username) if self._parts.username else None,
            password=unquote(self._parts.password) if self._parts.password else None,
            use_tls=self._parts.scheme == "smtps",
            start_tls=self._start_tls(self._parts),
            tls_context=self._tls,
            timeout=TIMEOUT_S,
        )
        try:
            await client.connect()
            try:
                await client.send_message(mail)
            except aiosmtplib.SMTPNotSupported as error:  # RFC 6531: the one extension that a mail may need
                raise Invalid("smtputf8_unsupported", "the server takes no addresses beyond ASCII") from error
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):  # the server has accepted the mail already
                async with asyncio.timeout(QUIT_S):
                    await client.quit()
        finally:
            client.close()

    @staticmethod
    def _start_tls(parts: SplitResult) -> bool | None:
        """Return whether to require STARTTLS; None is if the server offers it.

        It is required before a password leaves this machine, so that an attacker who strips the offer gets none.
        """
        if parts.scheme == "smtps":
            return False
        return True if parts.username and parts.hostname not in LOOPBACK_HOSTS else None

    def _write(self, mail: EmailMessage, name: str) -> None:
        """Write the file atomically, replacing one of the same name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{name}.eml"
        part = path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(bytes(mail))
        part.replace(path)


@asynccontextmanager
async def open_mail(url: str, home: str, sender: str) -> AsyncIterator[Mail]:
    """Return a Mail for SMTP_URL; without one, mails are files in `home`/receipts.

    Raises SettingsError if SMTP_URL or RECEIPT_FROM is malformed.
    """
    folder = Path(home or ".") / "receipts"
    if not url:
        log.info("smtp_server_not_set", folder=str(folder))
    yield Mail(url, folder, sender=sender)
