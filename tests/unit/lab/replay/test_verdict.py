from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from autogrocery.client import Event, Order, OrderLine
from autogrocery.lab.demand.market import Basket, Line
from autogrocery.lab.replay.journal import Entry
from autogrocery.lab.replay.replay import Trip, Witness
from autogrocery.lab.replay.verdict import EDGES, judge, reachable

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINE = OrderLine("milk", "Milk", 2, 100, 200, 2)
DONE = Order("o-1", "COMPLETED", "USD", 200, 200, [LINE], AT, outcome="FULL")
PREVIEWED, PROCESSING, COMPLETED = (
    Event(1, "PREVIEWED", "preview", AT),
    Event(2, "PROCESSING", "confirm", AT, "PREVIEWED"),
    Event(3, "COMPLETED", "webhook", AT, "PROCESSING"),
)
HISTORY = [PREVIEWED, PROCESSING, COMPLETED]


def told(step: str, status: str, http_status: int = 200, **fields: Any) -> Entry:
    return replace(Entry(AT, "d", "o-1", step, http_status, status, None, 200, 200, 200), **fields)


TOLD = [told("preview", "PREVIEWED", 201), told("confirm", "PROCESSING"), told("order", "COMPLETED")]


def promises(entries: list[Entry], order: Order | None = DONE, events: list[Event] = HISTORY) -> set[str]:
    return {violation.promise for violation in judge(entries, [], [Witness("o-1", order, events)])}


def test_a_true_story_breaks_nothing() -> None:
    assert promises(TOLD) == set()


def test_a_poll_may_miss_the_state_in_between() -> None:
    assert promises([TOLD[0], TOLD[2]]) == set()


@pytest.mark.parametrize(
    ("entries", "promise"),
    [
        ([told("order", "PROCESSING"), told("order", "PREVIEWED")], "polled statuses are a path of the edge table"),
        ([told("cancel", "CANCELLED")], "a terminal word stays"),
        ([told("order", "COMPLETED", total_cents=150)], "a terminal word stays"),
        ([told("preview", "PREVIEWED", 201, quoted_total_cents=150)], "the quoted price stays"),
        ([told("preview", "PREVIEWED", 201, lines_cents=150)], "a total is the sum of its lines"),
    ],
)
def test_an_untrue_answer_is_found(entries: list[Entry], promise: str) -> None:
    assert promise in promises(entries)


def test_a_confirmed_order_that_expires_is_found() -> None:
    expired = replace(DONE, status="EXPIRED", outcome=None)
    assert "a confirmed order never expires" in promises([told("confirm", "PROCESSING")], expired)


def test_an_order_that_vanished_is_found() -> None:
    assert promises(TOLD, None, []) == {"an order that was told exists"}


@pytest.mark.parametrize(
    ("order", "promise"),
    [
        (replace(DONE, total_cents=100), "the total is what was picked"),
        (replace(DONE, status="FAILED", outcome=None), "the total is what was picked"),
        (replace(DONE, items=[replace(LINE, picked=1)]), "a line costs price times picked"),
        (replace(DONE, items=[replace(LINE, picked=3, line_total_cents=300)]), "a line costs price times picked"),
        (replace(DONE, quoted_total_cents=100), "nobody pays more than was quoted"),
        (replace(DONE, quoted_total_cents=300), "a full order costs what was quoted"),
    ],
)
def test_a_wrong_sum_is_found(order: Order, promise: str) -> None:
    assert promise in promises(TOLD, order)


def test_a_short_pick_costs_what_was_picked() -> None:
    line = replace(LINE, picked=1, line_total_cents=100)
    short = replace(DONE, items=[line], total_cents=100, outcome="PARTIAL")
    assert promises(TOLD[:2], short) == set()


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
def test_a_wrong_history_is_found(events: list[Event], promise: str) -> None:
    assert promise in promises(TOLD, DONE, events)


def test_somebody_elses_basket_is_found() -> None:
    trip = Trip(Basket(1, 0.0, (Line("milk", 3),)), "buy", "o-1", DONE)
    assert [violation.promise for violation in judge([], [trip], [])] == ["the order holds the basket's goods"]


def test_the_edge_table_ends_in_four_words() -> None:
    assert {status for status, after in EDGES.items() if not after} == {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}
    assert not reachable("PROCESSING", "EXPIRED")
    assert not reachable("COMPLETED", "PROCESSING")
    assert reachable("PREVIEWED", "COMPLETED")
