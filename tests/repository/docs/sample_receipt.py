"""Print the receipt that docs/TOUR.md shows: `python -m tests.repository.docs.sample_receipt`."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from autogrocery.gateway.core.order import Fact, Line, Order, Outcome, Status, compute_result
from autogrocery.notifier.core.receipt import CompletedOrder, ReceiptLine, render_receipt

AT = datetime(2026, 11, 27, 17, 0, 12, tzinfo=UTC)
LINES = (
    Line("1029743", "Whole milk, 1 l", 2, 2, 129),
    Line("1082185", "Bananas", 6, 6, 24),
    Line("995242", "Rye bread", 3, 3, 249),
)
PICKED = {"1029743": 2, "1082185": 6, "995242": 1}


def sample() -> str:
    """Return the receipt of a PARTIAL order as text: one of three loaves was picked."""
    quoted = sum(line.total_cents for line in LINES)
    order = Order(
        UUID("019ac5b2-7d10-7c3a-9b58-0f1d2c3b4a59"), 1, Status.PROCESSING, 2, "USD", quoted, quoted, LINES, AT, AT
    )
    end = compute_result(order, Fact.PICKED, PICKED)
    completed = CompletedOrder(
        order.order_id,
        order.currency,
        quoted,
        end.total_cents,
        end.outcome is Outcome.PARTIAL,
        AT.replace(minute=1),
        AT.replace(minute=4),
        tuple(
            ReceiptLine(line.sku, line.name, line.quantity, PICKED[line.sku], line.unit_price_cents) for line in LINES
        ),
    )
    return render_receipt(completed, "mart-1").text


if __name__ == "__main__":
    print(sample(), end="")  # noqa: T201
