"""The statement of orders: which text a batch runs, and what each text may do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.gateway.core.order import Line, OrderResult, Outcome, Robot, Status
from autogrocery.gateway.core.status_change import MetricNumber
from autogrocery.gateway.store.writes import WRITE_ALERTING_BATCH, WRITE_BATCH, DispatchedOrder, FinishedOrder, NewOrder
from autogrocery.kit.pg.db import point_of

if TYPE_CHECKING:
    from autogrocery.kit.pg.batch import Item

NUMBER = MetricNumber(1, 3)
LINES = (Line("bread", "Bread", 2, 2, 300), Line("milk", "Milk", 1, 3, 129))


def new(number: int) -> Item:
    return NewOrder(UUID(int=number), 1, "USD", LINES, 729, b"x" * 32, 60.0, NUMBER).item()


def dispatched(number: int) -> Item:
    return DispatchedOrder(UUID(int=number), (Robot("rover-1", "ambient", "a-1"),), NUMBER).item()


def finished(number: int) -> Item:
    result = OrderResult(Status.COMPLETED, ((2, 0),), 600, Outcome.PARTIAL)
    return FinishedOrder(UUID(int=number), result, None, even_if_idle=False, delivery=None, number=NUMBER).item()


def ids(rows: list[tuple[object, ...]]) -> list[int]:
    return [row[0].int for row in rows if isinstance(row[0], UUID)]


def test_new_orders_alone_run_the_text_without_changes() -> None:
    call = WRITE_BATCH.call([new(1), new(2)])
    assert call.sql == WRITE_BATCH.new
    assert [ids(rows) for rows in call.parameters] == [[1, 2], [1, 1, 2, 2]]


def test_changes_alone_run_the_text_without_inserts_of_orders() -> None:
    call = WRITE_BATCH.call([finished(1), dispatched(2)])
    assert call.sql == WRITE_BATCH.changes
    assert [ids(rows) for rows in call.parameters] == [[1, 2], [1]]


def test_a_mixed_batch_runs_the_whole_text_with_each_row_in_its_array() -> None:
    call = WRITE_BATCH.call([dispatched(1), new(2), finished(3)])
    assert call.sql == WRITE_BATCH.sql
    assert [ids(rows) for rows in call.parameters] == [[2], [2, 2], [1, 3], [3]]


def test_a_change_alone_waits_for_its_row_and_in_a_batch_it_does_not() -> None:
    assert WRITE_BATCH.call_alone(dispatched(1)).sql == WRITE_BATCH.alone
    assert WRITE_BATCH.call_alone(new(1)).sql == WRITE_BATCH.new
    assert "FOR NO KEY UPDATE" in WRITE_BATCH.alone
    assert "SKIP LOCKED" not in WRITE_BATCH.alone
    assert "SKIP LOCKED" in WRITE_BATCH.changes
    assert "SKIP LOCKED" in WRITE_BATCH.sql


def test_each_text_takes_as_many_parameters_as_its_call_passes_and_has_the_fault_point() -> None:
    for statement, point in ((WRITE_BATCH, "orders.write"), (WRITE_ALERTING_BATCH, "orders.write_alerting")):
        for items in ([new(1)], [finished(1)], [new(1), finished(2)]):
            sql, parameters = statement.call(items)
            assert len(set(re.findall(r"\$\d+", sql))) == len(parameters)
            assert point_of(sql) == point
        assert point_of(statement.alone) == point
