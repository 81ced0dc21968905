"""Mail: over SMTP, or as .eml files while no server is set. It never touches an order."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import aiosmtplib

from autogrocery.kit import faults
from autogrocery.kit.log import log
from autogrocery.kit.refusals import Invalid, Unavailable
from autogrocery.kit.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT_S = 10.0  # for each step of the conversation
QUIT_S = 1.0
DEADLINE_S = 20.0  # for all of it; below the lease of an outbox row, so that nobody sends it beside us
PERMANENT = 500  # RFC 5321 §4.2.1: a reply of 5yz says never
SENDER = "receipts@autogrocery.invalid"


def message(to: str, subject: str, text: str, *, message_id: str, sender: str = SENDER) -> EmailMessage:
    """Return a mail; raises Invalid(bad_address) if `to` is no address."""
    mail = EmailMessage(policy=SMTP)
    try:
        mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, to, subject, message_id
    except ValueError:
        raise Invalid("bad_address", "the registry's address is none") from None
    mail.set_content(text)
    return mail


class Mail:
    """Sends to the server of `url`, or writes into `folder` if there is none."""

    def __init__(self, url: str, folder: Path, *, deadline_s: float = DEADLINE_S) -> None:
        parts = urlsplit(url)
        try:
            known = not url or (parts.scheme in {"smtp", "smtps"} and bool(parts.hostname))
            self._port = parts.port or (465 if parts.scheme == "smtps" else 25)
        except ValueError:
            known = False
        if not known:
            raise SettingsError("SMTP_URL is malformed: expected smtp://host:port or smtps://host:port")
        self._parts = parts if url else None
        self._folder = folder
        self._deadline_s = deadline_s

    async def send(self, mail: EmailMessage, name: str) -> None:
        """Hand over one mail, named for the file; raises Invalid for never and Unavailable for later."""
        if self._parts is None:
            await faults.through("mail.write", lambda: asyncio.to_thread(self._write, mail, name))
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                await faults.through("mail.send", lambda: self._deliver(mail))
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as error:
            code = error.recipients[0].code if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error.code
            if code >= PERMANENT:
                raise Invalid("mail_refused", f"the server answered {code}") from error
            raise Unavailable("mail_deferred", f"the server answered {code}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Unavailable("mail_unavailable", type(error).__name__) from error

    async def _deliver(self, mail: EmailMessage) -> None:
        assert self._parts is not None
        client = aiosmtplib.SMTP(
            hostname=self._parts.hostname,
            port=self._port,
            username=unquote(self._parts.username) if self._parts.username else None,
            password=unquote(self._parts.password) if self._parts.password else None,
            use_tls=self._parts.scheme == "smtps",
            timeout=TIMEOUT_S,
        )
        try:
            await client.connect()
            await client.send_message(mail)
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):  # it is taken, whatever becomes of this
                async with asyncio.timeout(QUIT_S):
                    await client.quit()
        finally:
            client.close()

    def _write(self, mail: EmailMessage, name: str) -> None:
        """Write whole or not at all; writing again replaces the same file."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{name}.eml"
        part = path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(bytes(mail))
        part.replace(path)


@asynccontextmanager
async def open_mail(url: str, home: str) -> AsyncIterator[Mail]:
    """Open the way that SMTP_URL says; raises SettingsError if it is malformed."""
    folder = Path(home or ".") / "receipts"
    if not url:
        log.info("receipts_go_to_files", folder=str(folder))
    yield Mail(url, folder)
