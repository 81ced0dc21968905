"""SMTP_URL: the mail server that a process sends through, and when it demands TLS of it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from msgspec import Struct

from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.transport import LOOPBACK_HOSTS

PORTS = {"smtp": 25, "smtps": 465}
MALFORMED = "SMTP_URL is malformed: expected smtp://host:port or smtps://host:port"


class SmtpServer(Struct, frozen=True):
    """A mail server; `implicit_tls` (smtps) begins with TLS, otherwise STARTTLS is used if it is offered.

    `require_tls`: a password leaves this machine under TLS only, so that an attacker who strips the offer of STARTTLS
    gets none.
    """

    host: str
    port: int
    implicit_tls: bool
    user: str
    password: str

    @property
    def require_tls(self) -> bool:
        """Return whether nothing may be sent without TLS."""
        return bool(self.user) and self.host not in LOOPBACK_HOSTS


def parse_smtp_url(url: str) -> SmtpServer:
    """Parse `smtp://user:password@host:port` or `smtps://…`; raises SettingsError if it is malformed."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(MALFORMED) from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise SettingsError(MALFORMED)
    return SmtpServer(
        parts.hostname,
        port or PORTS[parts.scheme],
        parts.scheme == "smtps",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )
