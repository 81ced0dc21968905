"""Receipt mails: the amounts are correct whatever a product is called, and the same receipt is the same bytes."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogrocery.gateway.core.money import format_amount
from autogrocery.gateway.core.order import Line, Order, Outcome, Status
from autogrocery.gateway.core.receipt import render_receipt, single_line
from autogrocery.gateway.peers.mail import SENDER, Mail, receipt_mail
from autogrocery.kit.errors import Invalid
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

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
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=()), max_size=40))


@st.composite
def completed_orders(draw: st.DrawFn) -> Order:
    lines = []
    for name, sku in draw(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6)):
        quantity = draw(st.integers(1, 999))
        picked, price = draw(st.integers(0, quantity)), draw(st.integers(0, 10**9))
        lines.append(Line(sku, name, quantity, quantity, price, picked))
    outcome = Outcome.PARTIAL if any(line.picked != line.quantity for line in lines) else Outcome.FULL
    quoted = sum(line.quantity * line.unit_price_cents for line in lines)
    return Order(
        ORDER_ID,
        1,
        Status.COMPLETED,
        3,
        draw(st.sampled_from(CURRENCIES)),
        quoted,
        sum(line.total_cents for line in lines),
        tuple(lines),
        AT,
        AT,
        outcome=outcome,
        finished_at=AT,
    )


def mailed(order: Order) -> EmailMessage:
    """Return the receipt's mail as a mail program parses it."""
    raw = bytes(
        receipt_mail(
            "kitchen@home.example", render_receipt(order, "mart-1"), name=str(order.order_id), at=order.finished_at
        )
    )
    parsed: Any = message_from_bytes(raw, policy=default)
    return parsed  # type: ignore[no-any-return]


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


AMOUNTS = re.compile(r"^ *(\d+) x (\S+ [A-Z]{3})(?: \((\d+) ordered\))? +(\S+ [A-Z]{3})$", re.MULTILINE)
CELLS = re.compile(r"<tr><th scope=\"row\"><bdi>(.*?)</bdi></th><td><bdi>(.*?)</bdi></td>(.*?)</tr>")


@settings(max_examples=150, deadline=None)
@given(completed_orders())
def test_amounts_parse_back_for_any_product_name(order: Order) -> None:
    mail, partial = mailed(order), order.outcome is Outcome.PARTIAL
    assert [one.get_content_type() for one in mail.iter_parts()] == ["text/plain", "text/html"]
    cash = [
        (format_amount(line.unit_price_cents, order.currency), format_amount(line.total_cents, order.currency))
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
def test_hostile_name_adds_no_header_markup_or_mime_part(order: Order) -> None:
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
    order = Order(
        ORDER_ID,
        1,
        Status.COMPLETED,
        3,
        "USD",
        258,
        258,
        (Line("milk", "Milch ß", 2, 2, 129, 2),),
        AT,
        AT,
        outcome=Outcome.FULL,
        finished_at=AT,
    )
    first, second = (
        bytes(receipt_mail("a@b.example", render_receipt(order, "m"), name=str(ORDER_ID), at=order.finished_at))
        for _ in range(2)
    )
    assert first == second
    mail: Any = message_from_bytes(first, policy=default)
    assert mail["Date"].datetime == AT.replace(microsecond=0)
    assert (mail["Message-ID"], mail["Auto-Submitted"]) == (f"<{ORDER_ID}@autogrocery.invalid>", "auto-generated")
    assert mail["From"] == SENDER


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
    order = Order(ORDER_ID, 1, Status.COMPLETED, 3, "USD", 0, 0, (), AT, AT, outcome=Outcome.FULL, finished_at=AT)
    with pytest.raises(Invalid, match="bad_address"):
        receipt_mail(to, render_receipt(order, "mart-1"), name=str(ORDER_ID), at=AT)


@pytest.mark.parametrize("sender", ["receipts", "a@b\r\nX: y", "A <a@b.example>", "a b@c", "ä@b.example"])
def test_malformed_receipt_from_raises_naming_the_variable(sender: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RECEIPT_FROM"):
        Mail("", tmp_path, sender=sender)


def test_format_amount_uses_the_currencys_minor_digits() -> None:
    amounts = [
        format_amount(1234, "USD"),
        format_amount(1234, "JPY"),
        format_amount(1234, "KWD"),
        format_amount(5, "EUR"),
        format_amount(12_345, "CLF"),
    ]
    assert amounts == ["12.34 USD", "1234 JPY", "1.234 KWD", "0.05 EUR", "1.2345 CLF"]
