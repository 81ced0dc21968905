"""Calls and order ends as a scenario would have recorded them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from autogrocery.client import Event, Order, OrderLine, Robot
from autogrocery.lab.scenarios.device import Attempt, DeviceCall, OrderEnd

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
    """Return an order of one unit each; `robots` are letters, one for each assignment."""
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


def make_call(
    step: str,
    outcome: str,
    answered: Order | None = None,
    *,
    before: tuple[str, ...] = (),
    order_id: str = "o1",
    detail: str = "",
) -> DeviceCall:
    """Return a call: the outcomes of the attempts `before`, then its last outcome."""
    attempts = [_attempt(one) for one in before] + [_attempt(outcome, answered, detail)]
    return DeviceCall(step, tuple(attempts), "" if step == "preview" else order_id)


def _attempt(outcome: str, answered: Order | None = None, detail: str = "") -> Attempt:
    status, _, code = outcome.partition(" ")
    return Attempt(0, int(status), code, detail, answered)


def end(status: str, *, order_id: str = "o1", path: tuple[str, ...] | None = None, skus: str = "a") -> OrderEnd:
    """Return how an order ended, and its history."""
    steps = PATHS[status] if path is None else path
    events = tuple(Event(number, cast("Status", step), "", AT) for number, step in enumerate(steps, 1))
    return OrderEnd(order_id, order(order_id, status, skus=skus), events)
