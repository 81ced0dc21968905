"""The receipt of a completed order, as text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order

MINOR_UNITS = {"JPY": 0, "KRW": 0, "BHD": 3, "KWD": 3, "TND": 3}  # ISO 4217; all others have two


def money(cents: int, currency: str) -> str:
    """Return an amount of minor units as people write it, `12.34 USD`."""
    digits = MINOR_UNITS.get(currency, 2)
    whole, rest = divmod(cents, 10**digits)
    return f"{whole}.{rest:0{digits}} {currency}" if digits else f"{whole} {currency}"


def receipt_text(order: Order, store_id: str) -> str:
    """Return the itemised receipt; a line that was picked short shows what was ordered too."""
    rows = []
    for line in order.lines:
        count = line.quantity if line.picked is None else line.picked
        ordered = "" if count == line.quantity else f" (of {line.quantity} ordered)"
        price = money(line.unit_price_cents, order.currency)
        rows.append(
            f"{count:>4} x {line.name} [{line.sku}] at {price}{ordered}: {money(line.total_cents, order.currency)}"
        )
    finished = f"{order.finished_at:%Y-%m-%d %H:%M} UTC" if order.finished_at else ""
    return "\n".join(
        [
            f"{store_id}, order {order.order_id}",
            finished,
            "",
            *rows,
            "",
            f"Total: {money(order.total_cents, order.currency)}",
            "",
        ]
    )
