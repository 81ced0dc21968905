"""Concurrent writes of orders share one statement, and each has the outcome that it would have alone."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from autogrocery.gateway.core.order import Line, Order, OrderResult, Outcome, Robot, Status, WebhookDelivery
from autogrocery.gateway.core.status_change import MetricNumber, StatusChange
from autogrocery.gateway.store import orders, transitions
from autogrocery.gateway.store.order_store import OrderStore
from autogrocery.gateway.store.orders import IDLE_BEYOND_BATCH, READ_BATCH
from autogrocery.gateway.store.writes import WRITE_ALERTING_BATCH, WRITE_BATCH
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.batch import PLANNER
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.clock import now
from autogrocery.kit.process.faults import Fault, Mode, arm
from tests.harness.gateway_actions import add_device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

MANY = 40
ROBOTS = (Robot("rover-1", "ambient", "a-1"),)
LINES = (Line("bread", "Bread", 2, 2, 300), Line("milk", "Milk", 1, 3, 129))
FULL = OrderResult(Status.COMPLETED, (), 729, Outcome.FULL)
PARTIAL = OrderResult(Status.COMPLETED, ((1, 1),), 429, Outcome.PARTIAL)
NOTHING = OrderResult(Status.FAILED, (), 0, None)


def numbers() -> Iterator[MetricNumber]:
    sequence = 0
    while True:
        sequence += 2
        yield MetricNumber(1, sequence)


NUMBERS = numbers()


async def add(db: Db, user_id: int, order_id: UUID | None = None, lines: tuple[Line, ...] = LINES) -> Order | None:
    return await orders.add(
        OrderStore(db), order_id or uuid7(), user_id, "USD", lines, sha256=b"x" * 32, ttl_s=60, number=next(NUMBERS)
    )


async def added(db: Db, user_id: int) -> UUID:
    order = await add(db, user_id)
    assert order is not None
    return order.order_id


async def dispatched(db: Db, order_id: UUID) -> StatusChange | None:
    """Dispatch an order, of which the statement reads the id only."""
    order = Order(order_id, 1, Status.PREVIEWED, 1, "USD", 729, 729, LINES, now(), now())
    done = await transitions.mark_dispatched(OrderStore(db), order, ROBOTS, number=next(NUMBERS))
    return done.change if done else None


async def finished(db: Db, order_id: UUID, result: OrderResult, *, even_if_idle: bool = False) -> list[StatusChange]:
    delivery = WebhookDelivery(f"msg_{order_id.hex}", b"y" * 32)
    return await transitions.finish(
        OrderStore(db),
        order_id,
        result,
        robots=None,
        even_if_idle=even_if_idle,
        delivery=delivery,
        number=next(NUMBERS),
    )


async def table(db: Db, name: str, order_id: UUID) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.rows(f"SELECT * FROM {name} WHERE order_id = $1", order_id)]


async def test_forty_concurrent_previews_are_written_by_at_most_three_statements_each_with_its_own_lines(
    gateway_db: Db,
) -> None:
    user_id = await add_device(gateway_db, "fridge")
    baskets = [(Line(f"sku-{n}", f"Name {n}", 1 + n % 3, 3, n),) * (1 + n % 2) for n in range(MANY)]
    with arm() as calls:
        made = await asyncio.gather(*(add(gateway_db, user_id, lines=basket) for basket in baskets))
    assert calls["orders.add"] == MANY
    assert calls["orders.write"] <= 3
    for order, basket in zip(made, baskets, strict=True):
        assert order is not None
        found = await orders.get(gateway_db, order.order_id)
        assert found is not None
        assert (found.lines, found.quoted_total_cents) == (basket, sum(line.total_cents for line in basket))
        assert [event.to_status for event in await orders.list_events(gateway_db, order.order_id)] == ["PREVIEWED"]


async def test_add_with_a_taken_id_returns_none_and_the_other_adds_of_the_batch_succeed(gateway_db: Db) -> None:
    user_id = await add_device(gateway_db, "fridge")
    taken = await added(gateway_db, user_id)
    first, again, last = await asyncio.gather(
        add(gateway_db, user_id), add(gateway_db, user_id, taken), add(gateway_db, user_id)
    )
    assert (first is None, again is None, last is None) == (False, True, False)


async def test_all_kinds_of_writes_share_one_statement_and_those_that_may_alert_share_another(gateway_db: Db) -> None:
    user_id = await add_device(gateway_db, "fridge")
    idle, picked, short, empty, overtaken, early, gone = [await added(gateway_db, user_id) for _ in range(7)]
    for order_id in (picked, short, empty, gone):
        assert await dispatched(gateway_db, order_id)
    assert await finished(gateway_db, gone, FULL)
    await transitions.promise_dispatch(OrderStore(gateway_db), overtaken)
    with arm() as calls:
        outcomes = await asyncio.gather(
            dispatched(gateway_db, idle),
            finished(gateway_db, picked, FULL),
            finished(gateway_db, short, PARTIAL),
            finished(gateway_db, empty, NOTHING),
            finished(gateway_db, overtaken, FULL),
            finished(gateway_db, early, FULL),
            dispatched(gateway_db, gone),
            add(gateway_db, user_id),
        )
    assert calls["orders.write_alerting"] == 1
    assert calls["orders.write"] == 1 + len(["early", "gone"])  # what the guard refuses is tried alone
    assert outcomes[0] is not None
    assert [len(changes) for changes in outcomes[1:6]] == [1, 1, 1, 2, 0]  # type: ignore[arg-type]
    assert outcomes[6] is None
    assert outcomes[7] is not None
    ends = [(await orders.get(gateway_db, one)) for one in (idle, picked, short, empty, overtaken, early, gone)]
    assert [order.status for order in ends if order] == [
        "PROCESSING",
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "COMPLETED",
        "PREVIEWED",
        "COMPLETED",
    ]
    assert [line.picked for line in ends[2].lines] == [1, 1]  # type: ignore[union-attr]
    assert [order.total_cents for order in ends if order] == [729, 729, 429, 0, 729, 729, 729]
    receipts = [len(await table(gateway_db, "receipt_outbox", one)) for one in (idle, picked, short, empty, overtaken)]
    assert receipts == [0, 1, 1, 0, 1]
    path = [(row["from_status"], row["to_status"]) for row in await table(gateway_db, "order_history", overtaken)]
    assert path == [(None, "PREVIEWED"), ("PREVIEWED", "PROCESSING"), ("PROCESSING", "COMPLETED")]


async def test_dispatch_and_finish_of_one_order_are_two_statements(gateway_db: Db) -> None:
    user_id = await add_device(gateway_db, "fridge")
    order_id = await added(gateway_db, user_id)
    change, changes = await asyncio.gather(dispatched(gateway_db, order_id), finished(gateway_db, order_id, FULL))
    assert change is not None
    assert [one.to_status for one in changes] == ["COMPLETED"]


async def test_a_constraint_violation_fails_its_own_order_only(gateway_db: Db) -> None:
    user_id = await add_device(gateway_db, "fridge")
    await added(gateway_db, user_id)
    outcomes = await asyncio.gather(
        add(gateway_db, user_id), add(gateway_db, user_id + 1_000), add(gateway_db, user_id), return_exceptions=True
    )
    assert isinstance(outcomes[0], Order)
    assert isinstance(outcomes[1], asyncpg.ForeignKeyViolationError)
    assert isinstance(outcomes[2], Order)


async def test_a_locked_row_delays_only_its_own_order(gateway_db: Db) -> None:
    user_id = await add_device(gateway_db, "fridge")
    held, free = await added(gateway_db, user_id), await added(gateway_db, user_id)
    async with gateway_db.transaction() as tx:
        await tx.rows("SELECT 1 FROM grocery_orders WHERE order_id = $1 FOR UPDATE", held)
        waiting = asyncio.create_task(dispatched(gateway_db, held))
        with arm() as calls:
            change, order = await asyncio.gather(dispatched(gateway_db, free), add(gateway_db, user_id))
        assert change
        assert order
        assert calls["orders.write"] <= 2
        assert not waiting.done()
    assert await waiting


async def test_a_batch_without_an_answer_is_unavailable_for_each_order_and_each_retry_finds_it_done(
    gateway_db: Db,
) -> None:
    user_id = await add_device(gateway_db, "fridge")
    ids = [await added(gateway_db, user_id) for _ in range(3)]
    with arm(Fault("orders.write", Mode.EFFECT_THEN_ERROR, 1)):
        outcomes = await asyncio.gather(*(dispatched(gateway_db, one) for one in ids), return_exceptions=True)
    assert [getattr(outcome, "code", "") for outcome in outcomes] == ["database_unavailable"] * 3
    assert [await dispatched(gateway_db, one) for one in ids] == [None] * 3
    assert [order.status for one in ids if (order := await orders.get(gateway_db, one))] == ["PROCESSING"] * 3


async def test_two_gateways_writing_the_same_orders_never_deadlock(gateway_dsn: str, gateway_db: Db) -> None:
    user_id = await add_device(gateway_db, "fridge")
    async with open_db(gateway_dsn, application="other") as other:
        ids = [await added(gateway_db, user_id) for _ in range(MANY)]
        for _ in range(3):
            won = await asyncio.gather(
                *(dispatched(gateway_db, one) for one in ids), *(dispatched(other, one) for one in reversed(ids))
            )
            done = await asyncio.gather(
                *(finished(other, one, FULL) for one in ids),
                *(finished(gateway_db, one, FULL) for one in reversed(ids)),
            )
            assert sum(change is not None for change in won) == MANY
            assert sum(map(len, done)) == MANY
            ids = [await added(other, user_id) for _ in range(MANY)]
    found = await gateway_db.row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert found is not None
    assert found["deadlocks"] == 0


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan that reads a table."""
    if "Relation Name" in plan and plan["Node Type"] != "ModifyTable":
        yield plan
    for part in plan.get("Plans", ()):
        yield from scans(part)


INDEXES = {
    WRITE_BATCH.sql: {"grocery_orders_pkey", "smart_devices_pkey"},
    WRITE_BATCH.new: set(),
    WRITE_BATCH.changes: {"grocery_orders_pkey", "smart_devices_pkey"},
    WRITE_ALERTING_BATCH.changes: {"grocery_orders_pkey", "smart_devices_pkey"},
    READ_BATCH.sql: {"grocery_orders_pkey", "order_lines_pkey", "short_picks_pkey"},
    IDLE_BEYOND_BATCH.sql: {"grocery_orders_of_device"},
}


@pytest.mark.parametrize(
    "sql", INDEXES, ids=["write", "write new", "write changes", "write alerting", "read", "idle beyond"]
)
@pytest.mark.parametrize("filled", [False, True], ids=["empty tables", "filled tables"])
async def test_batch_statements_read_tables_by_index_only(
    gateway_dsn: str, gateway_db: Db, sql: str, *, filled: bool
) -> None:
    if filled:
        for number in range(5):
            user_id = await add_device(gateway_db, f"fridge-{number}")
            await asyncio.gather(*(add(gateway_db, user_id) for _ in range(100)))
        await gateway_db.rows("ANALYZE")
    connection = await asyncpg.connect(gateway_dsn, server_settings=PLANNER)
    try:
        await connection.execute(f"PREPARE written AS {sql}")
        parameters = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", sql))))
        (plan,) = await connection.fetchrow(f"EXPLAIN (FORMAT JSON) EXECUTE written ({parameters})")
    finally:
        await connection.close()
    found = [(one["Node Type"], one.get("Index Name")) for one in scans(json.loads(plan)[0]["Plan"])]
    assert {kind for kind, _ in found} <= {"Index Scan", "Index Only Scan"}
    assert {index for _, index in found} == INDEXES[sql]
