"""Receipt mails: the amounts are correct whatever a product is called, and the same receipt is the same bytes."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, default
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogrocery.contracts.money import format_amount
from autogrocery.kit.errors import Invalid
from autogrocery.kit.messages.mail_address import parse_mail_address, parse_sender
from autogrocery.kit.process.settings import SettingsError
from autogrocery.notifier.core.receipt import CompletedOrder, ReceiptLine, render_receipt, single_line
from autogrocery.notifier.core.receipt_mail import receipt_mail
from tests.harness.notifier import SENDER

ORDER_ID = UUID("01935a4c-7a1e-7c3a-9b58-0f1d2c3b4a59")
AT = datetime(2026, 11, 27, 17, 3, 10, 123_456, tzinfo=UTC)
CURRENCIES = ("USD", "EUR", "JPY", "KWD", "CLF")
HOSTILE = (
    "<script>alert(1)</script>",
    "</td></table><img src=https://evil.example/x.png>",
    'x" onload="y',
    "a&amp;b",
    "{{ 7*7 }}",
    "{% raw %}",
    "milk\r\nBcc: all@evil.example",
    "milk\r\n\r\n--=_x\r\nContent-Type: text/html",
    "m\0ilk",
    "\u202egnol\u202c",
    "חלב",
    "a\u2028b",
    "\ud800",
    "",
    "=_01935a4c-7a1e-7c3a-9b58-0f1d2c3b4a59",
    ".\r\n.\r\n",
    "ﬀ" * 300,
    "🥛\u200d🧀",
    "%s %d",
    "\x1b[31m",
)


def sample_order(*lines: ReceiptLine) -> CompletedOrder:
    total = sum(line.quantity * line.unit_price_cents for line in lines)
    return CompletedOrder(ORDER_ID, "USD", total, total, partial=False, ordered_at=AT, finished_at=AT, lines=lines)


NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=()), max_size=40))


@st.composite
def completed_orders(draw: st.DrawFn) -> CompletedOrder:
    lines = []
    for name, sku in draw(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6)):
        quantity = draw(st.integers(1, 999))
        picked, price = draw(st.integers(0, quantity)), draw(st.integers(0, 10**9))
        lines.append(ReceiptLine(sku, name, quantity, picked, price))
    quoted = sum(line.quantity * line.unit_price_cents for line in lines)
    return CompletedOrder(
        ORDER_ID,
        draw(st.sampled_from(CURRENCIES)),
        quoted,
        sum(line.unit_price_cents * line.picked for line in lines),
        any(line.picked != line.quantity for line in lines),
        AT,
        AT,
        tuple(lines),
    )


def content_of(order: CompletedOrder, to: str = "kitchen@home.example") -> bytes:
    receipt = render_receipt(order, "mart-1")
    return receipt_mail(to, receipt, name=str(order.order_id), at=order.finished_at, sender=SENDER).content


def mailed(order: CompletedOrder) -> EmailMessage:
    """Return the receipt's mail as a mail program parses it."""
    parsed: Any = message_from_bytes(content_of(order), policy=default)
    return parsed  # type: ignore[no-any-return]


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


AMOUNTS = re.compile(r"^ *(\d+) x (\S+ [A-Z]{3})(?: \((\d+) ordered\))? +(\S+ [A-Z]{3})$", re.MULTILINE)
CELLS = re.compile(r"<tr><th scope=\"row\"><bdi>(.*?)</bdi></th><td><bdi>(.*?)</bdi></td>(.*?)</tr>")


@settings(max_examples=150, deadline=None)
@given(completed_orders())
def test_amounts_parse_back_for_any_product_name(order: CompletedOrder) -> None:
    mail, partial = mailed(order), order.partial
    assert [one.get_content_type() for one in mail.iter_parts()] == ["text/plain", "text/html"]
    cash = [
        (
            format_amount(line.unit_price_cents, order.currency),
            format_amount(line.unit_price_cents * line.picked, order.currency),
        )
        for line in order.lines
    ]
    text, page = part(mail, "plain"), part(mail, "html")
    short = [str(line.quantity) if line.picked != line.quantity else "" for line in order.lines]
    counted = [
        (str(line.picked), price, more, total)
        for line, (price, total), more in zip(order.lines, cash, short, strict=True)
    ]
    assert AMOUNTS.findall(text)[: len(counted)] == counted
    assert text.endswith(f" {format_amount(order.total_cents, order.currency)}\n")
    assert ("Quoted" in text.rsplit("\n\n", 1)[-1]) is partial
    rows = CELLS.findall(page)
    assert [(html.unescape(name), html.unescape(sku)) for name, sku, _ in rows] == [
        (single_line(line.name), single_line(line.sku)) for line in order.lines
    ]
    shown = [re.findall(r"<td>(.*?)</td>", cells) for _, _, cells in rows]
    ordered = [[str(line.quantity)] if partial else [] for line in order.lines]
    assert shown == [
        [*before, str(line.picked), *sums] for before, line, sums in zip(ordered, order.lines, cash, strict=True)
    ]
    assert f"<dd>{format_amount(order.quoted_total_cents, order.currency)}</dd>" in page or not partial


@settings(max_examples=150, deadline=None)
@given(completed_orders())
def test_hostile_name_adds_no_header_markup_or_mime_part(order: CompletedOrder) -> None:
    mail = mailed(order)
    assert sorted(name.lower() for name in mail) == [
        "auto-submitted",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
    ]
    assert not mail.defects
    assert all(not one.defects and not one.is_multipart() for one in mail.iter_parts())
    page = part(mail, "html")
    tags = {tag.lower() for tag in re.findall(r"</?([a-zA-Z]+)", page)}
    assert tags <= {
        "html",
        "head",
        "meta",
        "title",
        "body",
        "h",
        "dl",
        "dt",
        "dd",
        "p",
        "table",
        "caption",
        "thead",
        "tr",
        "th",
        "tbody",
        "bdi",
        "td",
    }
    inside = re.sub(r"<(bdi)>.*?</\1>", "", page)
    assert not re.search(r"(?i)src=|href=|url\(|https?:|on[a-z]+=", inside)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_single_line_is_one_encodable_line(text: str) -> None:
    shown = single_line(text)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
    assert single_line(shown) == shown
    assert not set(shown) & set("\0\r\n\u202e\u2067")


def test_receipt_mail_of_one_order_is_identical_each_time() -> None:
    order = sample_order(ReceiptLine("milk", "Milch ß", 2, 2, 129))
    first, second = content_of(order), content_of(order)
    assert first == second
    mail: Any = message_from_bytes(first, policy=default)
    assert mail["Date"].datetime == AT.replace(microsecond=0)
    assert (mail["Message-ID"], mail["Auto-Submitted"]) == (f"<{ORDER_ID}@autogrocery.invalid>", "auto-generated")
    assert mail["From"] == str(SENDER)


def library_mail(order: CompletedOrder, to: str) -> EmailMessage:
    """Return the same mail as the email package makes it."""
    recipient, receipt = parse_mail_address(to), render_receipt(order, "mart-1")
    mail = EmailMessage(policy=SMTPUTF8 if recipient.needs_smtputf8 else SMTP)
    mail["From"], mail["To"] = str(SENDER), Address(username=recipient.local, domain=recipient.domain)
    mail["Subject"], mail["Message-ID"] = receipt.subject, f"<{order.order_id}@{SENDER.domain}>"
    mail["Date"], mail["Auto-Submitted"] = order.finished_at, "auto-generated"
    mail.set_content(receipt.text, charset="utf-8", cte="quoted-printable")
    mail.add_alternative(receipt.html, subtype="html", charset="utf-8", cte="quoted-printable")
    mail.set_boundary(f"=_{order.order_id}")
    return mail


@settings(max_examples=100, deadline=None)
@given(
    completed_orders(),
    st.sampled_from(["kitchen@home.example", "jörg@bücher.example", f"{'k' * 64}@{'h' * 63}.example"]),
)
def test_a_mail_program_reads_the_same_as_from_the_email_package(order: CompletedOrder, to: str) -> None:
    ours: Any = message_from_bytes(content_of(order, to), policy=default)
    theirs: Any = message_from_bytes(bytes(library_mail(order, to)), policy=default)
    fields = ("From", "To", "Subject", "Message-ID", "Date", "Auto-Submitted", "MIME-Version", "Content-Type")
    assert [ours[name] for name in fields] == [theirs[name] for name in fields]
    pairs = list(zip(ours.iter_parts(), theirs.iter_parts(), strict=True))
    assert len(pairs) == 2
    for one, other in pairs:
        assert one["Content-Type"] == other["Content-Type"]
        assert one["Content-Transfer-Encoding"] == other["Content-Transfer-Encoding"]
        assert one.get_content() == other.get_content()


@settings(max_examples=150, deadline=None)
@given(completed_orders())
def test_mail_has_short_lines_of_crlf_and_parts_in_ascii(order: CompletedOrder) -> None:
    head, _, body = content_of(order).partition(b"\r\n\r\n")
    lines = (head + b"\r\n" + body).split(b"\r\n")
    assert lines.pop() == b""
    assert not any(b"\r" in line or b"\n" in line for line in lines)  # RFC 5322 §2.3: CR and LF stand together
    assert max(map(len, lines)) <= 78
    assert body.isascii()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "kitchen",
        "a@b\r\nBcc: c@d",
        "x,y@z.example",
        "a@b.example, c@d.example",
        "A <a@b.example>",
        "a@",
        "@b",
        "a@b.example,",
        "<a@b.example>",
        "a.@b.example",
    ],
)
def test_recipient_that_is_not_one_address_raises_bad_address(to: str) -> None:
    with pytest.raises(Invalid, match="bad_address"):
        content_of(sample_order(), to)


@pytest.mark.parametrize("sender", ["receipts", "a@b\r\nX: y", "A <a@b.example>", "a b@c", "ä@b.example"])
def test_malformed_receipt_from_raises_naming_the_variable(sender: str) -> None:
    with pytest.raises(SettingsError, match="RECEIPT_FROM"):
        parse_sender("RECEIPT_FROM", sender)


def test_format_amount_uses_the_currencys_minor_digits() -> None:
    amounts = [
        format_amount(1234, "USD"),
        format_amount(1234, "JPY"),
        format_amount(1234, "KWD"),
        format_amount(5, "EUR"),
        format_amount(12_345, "CLF"),
    ]
    assert amounts == ["12.34 USD", "1234 JPY", "1.234 KWD", "0.05 EUR", "1.2345 CLF"]
