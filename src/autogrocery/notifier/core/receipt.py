"""The receipt of a completed order, as text and as HTML. Pure."""

from __future__ import annotations

import html
import unicodedata
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.contracts.money import format_amount

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

# Unicode's directional formatting characters (UAX #9 §2): removed, because they could reorder the text around a name.
BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_BREAKS: Final = frozenset({"Cc", "Zl", "Zp"})  # Unicode categories: controls, line and paragraph separators
AMOUNTS_WIDTH: Final = 44
TOTALS_WIDTH: Final = 15
SHORT_PICKED: Final = "Some of it was not on the shelf. You pay for what was picked."


class ReceiptLine(Struct, frozen=True):
    """One line of a completed order: what was granted and what was picked of it, in units."""

    sku: str
    name: str
    quantity: int
    picked: int
    unit_price_cents: int


class CompletedOrder(Struct, frozen=True):
    """What a receipt tells of its order. `partial`: less was picked than granted; times are UTC."""

    order_id: UUID
    currency: str
    quoted_total_cents: int
    total_cents: int
    partial: bool
    ordered_at: datetime
    finished_at: datetime
    lines: tuple[ReceiptLine, ...]


class Receipt(Struct, frozen=True):
    """Subject and bodies of a receipt mail. The same order and store make the same receipt, to the byte."""

    subject: str
    text: str
    html: str


class ReceiptRow(Struct, frozen=True):
    """A line as a receipt shows it: names are safe lines of plain text, amounts have their currency."""

    name: str
    sku: str
    ordered: int
    picked: int
    price: str
    total: str


def render_receipt(order: CompletedOrder, store_id: str) -> Receipt:
    """Return the itemised receipt. Of a partial order it shows the ordered and the picked units, and both totals.

    Names and SKUs come from trucks, so they are untrusted: each is one line of plain text, never markup.
    """
    subject, store = f"Your receipt, order {order.order_id}", single_line(store_id)
    rows = [
        ReceiptRow(
            single_line(line.name),
            single_line(line.sku),
            line.quantity,
            line.picked,
            format_amount(line.unit_price_cents, order.currency),
            format_amount(line.unit_price_cents * line.picked, order.currency),
        )
        for line in order.lines
    ]
    return Receipt(subject, _text(order, store, rows), _page(order, subject, store, rows))


def single_line(text: str) -> str:
    """Return untrusted text as one safe line.

    Control characters and line breaks become blanks, directional formatting characters are removed, and lone surrogates
    become U+FFFD. Runs of blanks become one.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (
        " "
        if unicodedata.category(letter) in LINE_BREAKS
        else "\ufffd"
        if unicodedata.category(letter) == "Cs"
        else letter
        for letter in text
        if letter not in BIDI_CONTROLS
    )
    return " ".join("".join(kept).split())


def _text(order: CompletedOrder, store: str, rows: list[ReceiptRow]) -> str:
    head = (
        f"{store}: your receipt\n\nOrder     {order.order_id}\nOrdered   {_utc_text(order.ordered_at)}\n"
        f"Finished  {_utc_text(order.finished_at)}\n\n"
    )
    notice = f"{SHORT_PICKED}\n\n" if order.partial else ""
    lines = "".join(f"{row.name} [{row.sku}]\n{_amounts(row)} {row.total:>{TOTALS_WIDTH}}\n" for row in rows)
    quoted = _total("Quoted", order.quoted_total_cents, order.currency) if order.partial else ""
    return f"{head}{notice}{lines}\n{quoted}{_total('Total, charged', order.total_cents, order.currency)}"


def _amounts(row: ReceiptRow) -> str:
    """Return count and price, padded so that the totals of all rows align; the name has a line of its own."""
    ordered = "" if row.picked == row.ordered else f" ({row.ordered} ordered)"
    return f"{row.picked:>5} x {row.price}{ordered}".ljust(AMOUNTS_WIDTH)


def _total(what: str, cents: int, currency: str) -> str:
    return f"{what:<{AMOUNTS_WIDTH}} {format_amount(cents, currency):>{TOTALS_WIDTH}}\n"


def _page(order: CompletedOrder, subject: str, store: str, rows: list[ReceiptRow]) -> str:
    """Return the page. Every text in it is escaped, or made of digits and letters by this module."""
    partial = order.partial
    notice = f"<p>{SHORT_PICKED}</p>\n" if partial else ""
    ordered = '<th scope="col">Ordered</th>' if partial else ""
    quoted = _page_total("Quoted", order.quoted_total_cents, order.currency) if partial else ""
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{subject}</title>
</head>
<body>
<h1>{html.escape(store)}: your receipt</h1>
<dl>
<dt>Order</dt><dd>{order.order_id}</dd>
<dt>Ordered</dt><dd>{_utc_text(order.ordered_at)}</dd>
<dt>Finished</dt><dd>{_utc_text(order.finished_at)}</dd>
</dl>
{notice}<table>
<caption>What you got</caption>
<thead>
<tr><th scope="col">Product</th><th scope="col">SKU</th>{ordered}<th scope="col">Picked</th>\
<th scope="col">Price</th><th scope="col">Sum</th></tr>
</thead>
<tbody>
{"".join(_page_row(row, partial=partial) for row in rows)}</tbody>
</table>
<dl>
{quoted}{_page_total("Total, charged", order.total_cents, order.currency)}</dl>
</body>
</html>
"""


def _page_row(row: ReceiptRow, *, partial: bool) -> str:
    ordered = f"<td>{row.ordered}</td>" if partial else ""
    return (
        f'<tr><th scope="row"><bdi>{html.escape(row.name)}</bdi></th><td><bdi>{html.escape(row.sku)}</bdi></td>'
        f"{ordered}<td>{row.picked}</td><td>{html.escape(row.price)}</td><td>{html.escape(row.total)}</td></tr>\n"
    )


def _page_total(what: str, cents: int, currency: str) -> str:
    return f"<dt>{what}</dt><dd>{html.escape(format_amount(cents, currency))}</dd>\n"


def _utc_text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
