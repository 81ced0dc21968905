"""The receipt of a completed order, as text and as HTML. Pure, except that the templates are read once."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from msgspec import Struct

from autogrocery.gateway.core.money import format_amount
from autogrocery.gateway.core.order import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.gateway.core.order import Line, Order

# Unicode's directional formatting characters (UAX #9 §2): removed, because they could reorder the text around a name.
BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_BREAKS: Final = frozenset({"Cc", "Zl", "Zp"})  # Unicode categories: controls, line and paragraph separators
AMOUNTS_WIDTH: Final = 44


class Receipt(Struct, frozen=True):
    """Subject and bodies of a receipt mail. The same order and store make the same receipt, to the byte."""

    subject: str
    text: str
    html: str


class ReceiptRow(Struct, frozen=True):
    """One order line as a receipt shows it; `ordered` is set only if fewer units were picked."""

    name: str
    sku: str
    count: int
    ordered: int | None
    price: str
    total: str

    @property
    def amounts(self) -> str:
        """Count and price, padded so that the totals of all rows align; the name has a line of its own."""
        ordered = "" if self.ordered is None else f" ({self.ordered} ordered)"
        return f"{self.count:>5} x {self.price}{ordered}".ljust(AMOUNTS_WIDTH)


def render_receipt(order: Order, store_id: str) -> Receipt:
    """Return the itemised receipt. Of a PARTIAL order it shows the ordered and the picked units, and both totals.

    Names and SKUs come from trucks, so they are untrusted: each is one line of plain text, never markup.
    """
    values = {
        "subject": f"Your receipt, order {order.order_id}",
        "store": single_line(store_id),
        "order_id": str(order.order_id),
        "ordered_at": _utc_text(order.confirmed_at or order.created_at),
        "finished_at": _utc_text(order.finished_at),
        "partial": order.outcome is Outcome.PARTIAL,
        "rows": [_row(line, order.currency) for line in order.lines],
        "quoted": format_amount(order.quoted_total_cents, order.currency),
        "charged": format_amount(order.total_cents, order.currency),
    }
    text, html = (_templates().get_template(f"receipt.{kind}.j2").render(values) for kind in ("txt", "html"))
    return Receipt(str(values["subject"]), text, html)


def single_line(text: str) -> str:
    """Return untrusted text as one safe line.

    Control characters and line breaks become blanks, directional formatting characters are removed, and lone surrogates
    become U+FFFD. Runs of blanks become one.
    """
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


def _row(line: Line, currency: str) -> ReceiptRow:
    count = line.quantity if line.picked is None else line.picked
    return ReceiptRow(
        single_line(line.name),
        single_line(line.sku),
        count,
        None if count == line.quantity else line.quantity,
        format_amount(line.unit_price_cents, currency),
        format_amount(line.total_cents, currency),
    )


def _utc_text(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "unknown"


@cache
def _templates() -> Environment:
    """Return the template environment: it escapes HTML, not text, and refuses unknown variables in a template."""
    return Environment(
        loader=PackageLoader("autogrocery.gateway.core", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
