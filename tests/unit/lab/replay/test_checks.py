from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from autogrocery.client import Event, Order, OrderLine
from autogrocery.lab.demand.baskets import Basket, Line
from autogrocery.lab.replay.checks import EDGES, check_orders, reachable
from autogrocery.lab.replay.journal import Entry
from autogrocery.lab.replay.replay import FinalOrder, Trip

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINE = OrderLine("milk", "Milk", 2, 100, 200, 2)
DONE = Order("o-1", "COMPLETED", "USD", 200, 200, [LINE], AT, outcome="FULL")
PREVIEWED, PROCESSING, COMPLETED = (
    Event(1, "PREVIEWED", "preview", AT),
    Event(2, "PROCESSING", "confirm", AT, "PREVIEWED"),
    Event(3, "COMPLETED", "webhook", AT, "PROCESSING"),
)
HISTORY = [PREVIEWED, PROCESSING, COMPLETED]


def entry(step: str, status: str, http_status: int = 200, **fields: Any) -> Entry:
    return replace(Entry(AT, "d", "o-1", step, http_status, status, None, 200, 200, 200), **fields)


ENTRIES = [entry("preview", "PREVIEWED", 201), entry("confirm", "PROCESSING"), entry("order", "COMPLETED")]


def promises(entries: list[Entry], order: Order | None = DONE, events: list[Event] = HISTORY) -> set[str]:
    return {violation.promise for violation in check_orders(entries, [], [FinalOrder("o-1", order, events)])}


def test_consistent_responses_have_no_violation() -> None:
    assert promises(ENTRIES) == set()


def test_poll_may_miss_a_status_in_between() -> None:
    assert promises([ENTRIES[0], ENTRIES[2]]) == set()


@pytest.mark.parametrize(
    ("entries", "promise"),
    [
        ([entry("order", "PROCESSING"), entry("order", "PREVIEWED")], "polled statuses are a path of the edge table"),
        ([entry("cancel", "CANCELLED")], "a terminal status stays"),
        ([entry("order", "COMPLETED", total_cents=150)], "a terminal status stays"),
        ([entry("preview", "PREVIEWED", 201, quoted_total_cents=150)], "the quoted price stays"),
        ([entry("preview", "PREVIEWED", 201, lines_cents=150)], "a total is the sum of its lines"),
    ],
)
def test_contradicted_response_is_found(entries: list[Entry], promise: str) -> None:
    assert promise in promises(entries)


def test_confirmed_order_that_expires_is_found() -> None:
    expired = replace(DONE, status="EXPIRED", outcome=None)
    assert "a confirmed order never expires" in promises([entry("confirm", "PROCESSING")], expired)


def test_missing_order_is_found() -> None:
    assert promises(ENTRIES, None, []) == {"an order that was returned exists"}


@pytest.mark.parametrize(
    ("order", "promise"),
    [
        (replace(DONE, total_cents=100), "the total is what was picked"),
        (replace(DONE, status="FAILED", outcome=None), "the total is what was picked"),
        (replace(DONE, items=[replace(LINE, picked=1)]), "a line costs price times picked"),
        (replace(DONE, items=[replace(LINE, picked=3, line_total_cents=300)]), "a line costs price times picked"),
        (replace(DONE, quoted_total_cents=100), "an order costs no more than was quoted"),
        (replace(DONE, quoted_total_cents=300), "a full order costs what was quoted"),
    ],
)
def test_wrong_total_is_found(order: Order, promise: str) -> None:
    assert promise in promises(ENTRIES, order)


def test_short_pick_costs_what_was_picked() -> None:
    line = replace(LINE, picked=1, line_total_cents=100)
    short = replace(DONE, items=[line], total_cents=100, outcome="PARTIAL")
    assert promises(ENTRIES[:2], short) == set()


@pytest.mark.parametrize(
    ("events", "promise"),
    [
        ([], "history leads from the preview to the status"),
        ([PREVIEWED, PROCESSING], "history leads from the preview to the status"),
        ([PREVIEWED, replace(COMPLETED, version=2, from_status="PREVIEWED")], "history follows the edge table"),
        ([PREVIEWED, PROCESSING, replace(COMPLETED, version=4)], "history has no gap"),
        ([PREVIEWED, PROCESSING, replace(COMPLETED, from_status="PREVIEWED")], "history follows the edge table"),
    ],
)
def test_wrong_history_is_found(events: list[Event], promise: str) -> None:
    assert promise in promises(ENTRIES, DONE, events)


def test_order_with_other_lines_is_found() -> None:
    trip = Trip(Basket(1, 0.0, (Line("milk", 3),)), "buy", "o-1", DONE)
    assert [violation.promise for violation in check_orders([], [trip], [])] == ["the order has the basket's lines"]


def test_edge_table_has_four_terminal_statuses() -> None:
    assert {status for status, after in EDGES.items() if not after} == {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}
    assert not reachable("PROCESSING", "EXPIRED")
    assert not reachable("COMPLETED", "PROCESSING")
    assert reachable("PREVIEWED", "COMPLETED")
