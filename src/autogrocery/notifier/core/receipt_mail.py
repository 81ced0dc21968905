"""A receipt as a mail: the bytes of RFC 5322 and MIME. Pure; the same receipt makes the same bytes.

The form never changes, so it is written out here. The email package took five times as long for the same headers;
tests compare the two.
"""

from __future__ import annotations

from binascii import b2a_qp
from email.utils import format_datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.errors import Invalid
from autogrocery.kit.messages.mail_address import MailAddress, parse_mail_address

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.notifier.core.receipt import Receipt

# Auto-Submitted (RFC 3834 §5) suppresses automatic replies, such as holiday notices. The addresses are dot-atoms, and
# the subject is ASCII, so no field needs to be encoded; a recipient's name beyond ASCII stands as it is (RFC 6532).
# Quoted-printable never holds "=_" (RFC 2045 §6.7), so the boundary is in no part.
FORM = """\
From: {sender}\r
To: {recipient}\r
Subject: {subject}\r
Message-ID: <{name}@{domain}>\r
Date: {date}\r
Auto-Submitted: auto-generated\r
MIME-Version: 1.0\r
Content-Type: multipart/alternative;\r
 boundary="=_{name}"\r
\r
--=_{name}\r
Content-Type: text/plain; charset="utf-8"\r
Content-Transfer-Encoding: quoted-printable\r
\r
{text}\r
--=_{name}\r
Content-Type: text/html; charset="utf-8"\r
Content-Transfer-Encoding: quoted-printable\r
\r
{html}\r
--=_{name}--\r
"""


class ReceiptMail(Struct, frozen=True):
    """A mail, and its envelope: `content` has lines of CRLF, the last one included."""

    name: str
    sender: MailAddress
    recipient: MailAddress
    content: bytes


def receipt_mail(to: str, receipt: Receipt, *, name: str, at: datetime, sender: MailAddress) -> ReceiptMail:
    """Return a mail of text and HTML, dated `at`, which is UTC; the same arguments make the same bytes.

    `name` must be unique among mails, of letters, digits and hyphens: Message-ID and MIME boundary contain it. Raises
    Invalid(bad_address) if `to` is not one address.
    """
    try:
        recipient = parse_mail_address(to)
    except ValueError:
        raise Invalid("bad_address", "the registry's e-mail address is malformed") from None
    content = FORM.format(
        sender=sender,
        recipient=recipient,
        subject=receipt.subject,
        name=name,
        domain=sender.domain,
        date=format_datetime(at),
        text=_quoted_printable(receipt.text),
        html=_quoted_printable(receipt.html),
    )
    return ReceiptMail(name, sender, recipient, content.encode())


def _quoted_printable(text: str) -> str:
    """Return text in quoted-printable (RFC 2045 §6.7) with lines of CRLF; `text` has LF as its only line break."""
    return b2a_qp(text.replace("\n", "\r\n").encode()).decode("ascii")
