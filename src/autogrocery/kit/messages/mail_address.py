"""Mail addresses: what is accepted at registration is exactly what a mail's header can carry. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from msgspec import Struct

from autogrocery.kit.process.settings import SettingsError

MAX_BYTES: Final = 254  # RFC 5321 §4.5.3.1.3 allows a path of 256 bytes, its angle brackets included
MAX_LOCAL_BYTES: Final = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN_BYTES: Final = 253
# RFC 5322 §3.2.3: a dot-atom; quoted names are not accepted. RFC 6531 §3.3 adds the characters beyond ASCII.
ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
LOCAL: Final = re.compile(rf"{ATOM}(?:\.{ATOM})*")
LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN: Final = re.compile(rf"(?:{LABEL}\.)*(?![0-9]+\Z){LABEL}")  # a last label of digits is an IP address
INVISIBLE: Final = frozenset("CZ")  # Unicode's main categories: controls, formatting, surrogates, unassigned; blanks


class MailAddress(Struct, frozen=True):
    """An address in the form in which it is stored and sent: the name in NFC, the domain in ASCII."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with the extension SMTPUTF8 (RFC 6531) takes mail for it."""
        return not self.local.isascii()


def parse_mail_address(text: str) -> MailAddress:
    """Parse one address, without display name and angle brackets; labels beyond ASCII become A-labels (RFC 5891).

    Raises ValueError with the reason if `text` is anything else.
    """
    local, at, domain = text.rpartition("@")
    if not at or "@" in local:
        raise ValueError("expected name@domain, with one @")
    if len(text) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes")
    local = unicodedata.normalize("NFC", local)
    if not LOCAL.fullmatch(local) or any(unicodedata.category(letter)[0] in INVISIBLE for letter in local):
        raise ValueError("before the @ are letters, digits and !#$%&'*+-/=?^_`{|}~, with single dots between them")
    if len(local.encode()) > MAX_LOCAL_BYTES:
        raise ValueError(f"before the @ are at most {MAX_LOCAL_BYTES} bytes")
    address = MailAddress(local, _ascii_domain(domain))
    if len(str(address).encode()) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, with a domain beyond ASCII as xn--…")
    return address


def parse_sender(name: str, text: str) -> MailAddress:
    """Parse the setting `name`, a From address, which every server must take; raises SettingsError."""
    try:
        sender = parse_mail_address(text)
    except ValueError:
        sender = None
    if sender is None or sender.needs_smtputf8:
        raise SettingsError(f"{name} is malformed: expected name@domain")
    return sender


def _ascii_domain(domain: str) -> str:
    """Return the domain in ASCII; raises ValueError unless it is a host name."""
    if not domain.isascii() or "xn--" in domain.lower():
        domain = _a_labels(domain)
    if not DOMAIN.fullmatch(domain) or len(domain) > MAX_DOMAIN_BYTES:
        raise ValueError("after the @ is a host name, as example.com")
    return domain


def _a_labels(domain: str) -> str:
    """Return the domain with its labels as A-labels, or an empty text if it is no name."""
    import idna  # noqa: PLC0415 - its tables are large, and few addresses need them

    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        return ""
