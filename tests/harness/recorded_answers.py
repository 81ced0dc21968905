"""Answers as a scenario would have recorded them, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from autogrocery.client import Event, Order, OrderLine, Robot
from autogrocery.lab.scenarios.doors import Answer, End, Said

if TYPE_CHECKING:
    from autogrocery.client import Status

AT = datetime(2026, 1, 1, tzinfo=UTC)
PATHS = {
    "PREVIEWED": ("PREVIEWED",),
    "PROCESSING": ("PREVIEWED", "PROCESSING"),
    "COMPLETED": ("PREVIEWED", "PROCESSING", "COMPLETED"),
    "FAILED": ("PREVIEWED", "PROCESSING", "FAILED"),
    "CANCELLED": ("PREVIEWED", "CANCELLED"),
    "EXPIRED": ("PREVIEWED", "EXPIRED"),
}
WITHDRAWN = ("PREVIEWED", "PROCESSING", "CANCELLED")


def order(order_id: str = "o1", status: str = "PREVIEWED", *, robots: str = "", skus: str = "a") -> Order:
    """An order of one unit each; `robots` are letters, one for each assignment."""
    lines = [OrderLine(sku, sku, 1, 100, 100, picked=1 if status == "COMPLETED" else None) for sku in skus]
    sent = [Robot(f"robot-{letter}", "bread", f"assignment-{letter}") for letter in robots]
    return Order(
        order_id,
        cast("Status", status),
        "USD",
        100,
        100,
        lines,
        AT,
        AT + timedelta(seconds=6),
        robots=sent or None,
        finished_at=AT + timedelta(seconds=6),
    )


def said(
    step: str,
    word: str,
    told: Order | None = None,
    *,
    before: tuple[str, ...] = (),
    order_id: str = "o1",
    detail: str = "",
) -> Said:
    """One call: the words that put it off `before`, then its last word."""
    answers = [_answer(one) for one in before] + [_answer(word, told, detail)]
    return Said(step, tuple(answers), "" if step == "preview" else order_id)


def _answer(word: str, told: Order | None = None, detail: str = "") -> Answer:
    status, _, code = word.partition(" ")
    return Answer(0, int(status), code, detail, told)


def end(status: str, *, order_id: str = "o1", path: tuple[str, ...] | None = None, skus: str = "a") -> End:
    """How an order ended, and by which path."""
    steps = PATHS[status] if path is None else path
    events = tuple(Event(number, cast("Status", step), "", AT) for number, step in enumerate(steps, 1))
    return End(order_id, order(order_id, status, skus=skus), events)
