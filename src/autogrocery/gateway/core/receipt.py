"""The receipt of a completed order, as text and as HTML. Pure; the templates beside it are read once."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from msgspec import Struct

from autogrocery.gateway.core.money import money
from autogrocery.gateway.core.order import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.gateway.core.order import Line, Order

# Unicode's marks that turn the direction of what follows (UAX #9 §2): a name keeps its letters and loses these.
TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_BREAKS: Final = frozenset({"Cc", "Zl", "Zp"})  # Unicode categories: controls and separators
FIGURES_WIDTH: Final = 44


class Receipt(Struct, frozen=True):
    """What a mail says; the same order and store make the same receipt, to the byte."""

    subject: str
    text: str
    html: str


class Row(Struct, frozen=True):
    """One line as it is shown; `ordered` only where less was picked."""

    name: str
    sku: str
    count: int
    ordered: int | None
    price: str
    total: str

    @property
    def figures(self) -> str:
        """Count and price, padded, so that totals stand below each other; the name has a line of its own."""
        ordered = "" if self.ordered is None else f" ({self.ordered} ordered)"
        return f"{self.count:>5} x {self.price}{ordered}".ljust(FIGURES_WIDTH)


def receipt(order: Order, store_id: str) -> Receipt:
    """Return the itemised receipt; of a PARTIAL order it shows what was ordered beside what was picked, and both totals.

    Names and SKUs come from trucks: they are shown on one line each, as letters only, never as markup.
    """
    facts = {
        "subject": f"Your receipt, order {order.order_id}",
        "store": plain(store_id),
        "order_id": str(order.order_id),
        "ordered_at": _instant(order.confirmed_at or order.created_at),
        "finished_at": _instant(order.finished_at),
        "partial": order.outcome is Outcome.PARTIAL,
        "rows": [_row(line, order.currency) for line in order.lines],
        "quoted": money(order.quoted_total_cents, order.currency),
        "charged": money(order.total_cents, order.currency),
    }
    text, html = (_templates().get_template(f"receipt.{kind}.j2").render(facts) for kind in ("txt", "html"))
    return Receipt(str(facts["subject"]), text, html)


def plain(text: str) -> str:
    """Return foreign text fit for one line: breaks and controls are blanks, turning marks go, half characters are shown as such."""
    kept = (
        " "
        if unicodedata.category(letter) in LINE_BREAKS
        else "\ufffd"
        if unicodedata.category(letter) == "Cs"
        else letter
        for letter in text
        if letter not in TURNING
    )
    return " ".join("".join(kept).split())


def _row(line: Line, currency: str) -> Row:
    count = line.quantity if line.picked is None else line.picked
    return Row(
        plain(line.name),
        plain(line.sku),
        count,
        None if count == line.quantity else line.quantity,
        money(line.unit_price_cents, currency),
        money(line.total_cents, currency),
    )


def _instant(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "unknown"


@cache
def _templates() -> Environment:
    """HTML is escaped, text is not; a name that a template misspells is an error, not a blank."""
    return Environment(
        loader=PackageLoader("autogrocery.gateway.core", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
