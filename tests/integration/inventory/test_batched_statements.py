"""Concurrent holds, dispatches, starts and reports share a statement, with the results of sequential calls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogrocery.inventory.actions.assign_robots import RobotFilter, assign_robots
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.core.picking import Outcome, Pick, Report
from autogrocery.inventory.core.stock import Line, ShortageError
from autogrocery.inventory.store import dispatches, holds, picks, robots
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_batches import (
    SEEN_S,
    HoldRequest,
    HoldResult,
    NullAnnouncer,
    expected_batches,
    hold,
    stock,
    violations,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TypeVar

    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.kit.pg.db import Db

    T = TypeVar("T")


@pytest.fixture
async def db(inventory_dsn: str) -> AsyncIterator[Db]:
    async with open_db(inventory_dsn, application="tests") as opened:
        yield opened
        assert await violations(opened) == []


LINE = st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(1, 4))
HOLD_REQUEST = st.tuples(st.lists(LINE, min_size=1, max_size=3, unique_by=lambda line: line[0]), st.booleans())


def test_batch_of_holds_equals_sequential_holds(inventory_dsn: str) -> None:
    numbers = count()
    deferred = 0

    async def check(db: Db, shelf: dict[str, int], requests: list[HoldRequest]) -> None:
        nonlocal deferred
        await stock(db, shelf)
        answers = await asyncio.gather(*(hold(db, uuid4(), request) for request in requests))
        left = {line.sku: line.quantity for line in await holds.list_available(db, sorted(shelf))}
        possible = list(expected_batches(shelf, requests))
        deferred += len(possible) > 1
        assert (left, answers) in possible

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        db = runner.run(stack.enter_async_context(open_db(inventory_dsn, application="tests")))

        @settings(max_examples=60, deadline=None, database=None, derandomize=True)
        @given(
            st.fixed_dictionaries({"a": st.integers(0, 6), "b": st.integers(0, 6), "c": st.integers(0, 6)}),
            st.lists(HOLD_REQUEST, min_size=2, max_size=7),
        )
        def check_batch(shelf: dict[str, int], wanted: list[tuple[list[tuple[str, int]], bool]]) -> None:
            mark = f"{next(numbers):04d}"
            requests = [
                HoldRequest(
                    tuple(sorted((Line(sku + mark, n) for sku, n in lines), key=lambda line: line.sku)), partial
                )
                for lines, partial in wanted
            ]
            runner.run(check(db, {sku + mark: have for sku, have in shelf.items()}, requests))

        check_batch()
        assert runner.run(violations(db)) == []
        assert deferred
        runner.run(stack.aclose())


async def test_order_that_fits_because_another_was_refused_is_held(db: Db) -> None:
    await stock(db, {"milk": 5, "rice": 1})
    requests = [
        HoldRequest((Line("rice", 1),)),
        HoldRequest((Line("milk", 4), Line("rice", 1))),
        HoldRequest((Line("milk", 5),)),
    ]
    answers = await asyncio.gather(*(hold(db, uuid4(), request) for request in requests))
    assert answers == [HoldResult((Line("rice", 1),)), HoldResult(available=(5, 0)), HoldResult((Line("milk", 5),))]


async def test_skus_with_quotes_backslashes_and_commas_round_trip(db: Db) -> None:
    odd = ['"', "\\", ",", "{}", 'a"b\\c', "NULL", "żółć"]
    await stock(db, dict.fromkeys(odd, 3))
    lines = tuple(Line(sku, 2) for sku in sorted(odd))
    order = uuid4()
    assert await hold(db, order, HoldRequest(lines)) == HoldResult(lines)
    await list_work(db, PollCache(), "dairy-1", "dairy", 1, seen_s=SEEN_S)
    allocated = await dispatches.allocate(db, order, lines, seen_s=SEEN_S, queue_max=9)
    assert allocated is not None
    assert allocated.assignments[0].lines == lines


async def test_order_with_invalid_quantity_fails_alone_in_its_batch(db: Db) -> None:
    await stock(db, {"milk": 50})
    requests = [HoldRequest((Line("milk", 10**12 if i == 3 else 1),)) for i in range(8)]
    answers = await asyncio.gather(*(hold(db, uuid4(), request) for request in requests), return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        asyncpg.NumericValueOutOfRangeError if i == 3 else HoldResult for i in range(8)
    ]
    assert [line.quantity for line in await holds.list_available(db, ["milk"])] == [43]


async def loads(db: Db) -> dict[str, int]:
    found = await db.rows(
        "SELECT robot_id, count(*) AS n FROM inventory.assignments WHERE state = 'OPEN' GROUP BY robot_id"
    )
    return {row["robot_id"]: row["n"] for row in found}


async def dispatch_together(db: Db, orders: int, queue_max: int) -> list[str | None]:
    """Reserve and dispatch orders of one line concurrently; return why each was refused."""
    ids, lines = [uuid4() for _ in range(orders)], (Line("milk", 1),)
    await asyncio.gather(*(reserve_items(db, one, lines, 60, allow_partial=False) for one in ids))
    answers = await asyncio.gather(
        *(assign_robots(db, NullAnnouncer(), one, lines, RobotFilter(SEEN_S, queue_max)) for one in ids)
    )  # type: ignore[arg-type]
    return [answer.refused for answer in answers]


async def test_batch_fills_least_loaded_robots_first_up_to_queue_max(db: Db) -> None:
    await stock(db, {"milk": 500})
    await list_work(db, PollCache(), "dairy-1", "dairy", 1, seen_s=SEEN_S)
    assert await dispatch_together(db, 5, 6) == [None] * 5
    await list_work(db, PollCache(), "dairy-2", "dairy", 1, seen_s=SEEN_S)
    assert await dispatch_together(db, 2, 6) == [None] * 2
    await list_work(db, PollCache(), "dairy-3", "dairy", 1, seen_s=SEEN_S)
    assert await loads(db) == {"dairy-1": 5, "dairy-2": 2}
    assert await dispatch_together(db, 7, 6) == [None] * 7
    assert sorted((await loads(db)).values()) == [4, 5, 5]
    refused = await dispatch_together(db, 12, 6)
    assert await loads(db) == {"dairy-1": 6, "dairy-2": 6, "dairy-3": 6}
    assert sorted(refused, key=str) == [None] * 4 + ["no robots of class dairy"] * 8


async def test_unseen_robot_gets_no_assignment_of_a_batch(db: Db) -> None:
    await stock(db, {"milk": 500})
    for robot_id in ("dairy-1", "dairy-2"):
        await list_work(db, PollCache(), robot_id, "dairy", 1, seen_s=SEEN_S)
    await db.run("UPDATE inventory.robots SET last_seen_at = now() - interval '2 hours' WHERE robot_id = 'dairy-1'")
    assert await dispatch_together(db, 9, 100) == [None] * 9
    assert await loads(db) == {"dairy-2": 9}


async def test_order_without_robots_does_not_block_its_batch(db: Db) -> None:
    await stock(db, {"milk": 500})
    await stock(db, {"bread": 500}, "bread")
    await list_work(db, PollCache(), "dairy-1", "dairy", 1, seen_s=SEEN_S)
    baskets = [(Line("bread", 1), Line("milk", 1)) if i % 2 else (Line("milk", 1),) for i in range(8)]
    ids = [uuid4() for _ in baskets]
    await asyncio.gather(*(reserve_items(db, *one, 60, allow_partial=False) for one in zip(ids, baskets, strict=True)))
    answers = await asyncio.gather(
        *(
            assign_robots(db, NullAnnouncer(), order_id, lines, RobotFilter(SEEN_S, 5))  # type: ignore[arg-type]
            for order_id, lines in zip(ids, baskets, strict=True)
        )
    )
    assert [answer.refused for answer in answers] == [None, "no robots of class bread"] * 4
    assert await loads(db) == {"dairy-1": 4}


async def started(db: Db, orders: int) -> list[tuple[Assignment, int]]:
    """Dispatch orders of two aisles and start all assignments concurrently; return them with their fences."""
    await stock(db, {"milk": 500})
    await stock(db, {"bread": 500}, "bread")
    for robot_id in ("bread-1", "dairy-1"):
        await list_work(db, PollCache(), robot_id, robot_id.split("-")[0], 1, seen_s=SEEN_S)
    lines = (Line("bread", 1), Line("milk", 2))
    ids = [uuid4() for _ in range(orders)]
    await asyncio.gather(*(reserve_items(db, one, lines, 60, allow_partial=False) for one in ids))
    dispatched = await asyncio.gather(
        *(assign_robots(db, NullAnnouncer(), one, lines, RobotFilter(SEEN_S, 99)) for one in ids)
    )  # type: ignore[arg-type]
    shares = [share for one in dispatched for share in one.assignments]
    leases = await asyncio.gather(
        *(robots.start(db, share.assignment_id, share.robot_id, [share.robot_class], lease_s=60) for share in shares)
    )
    assert all(leases)
    return [(share, lease.fence) for share, lease in zip(shares, leases, strict=True) if lease]


async def test_concurrent_reports_close_each_order_once(db: Db) -> None:
    shares = await started(db, 12)
    assert len({fence for _, fence in shares}) == 24
    closed = await asyncio.gather(
        *(
            picks.close(
                db, Report(share.assignment_id, share.robot_id, fence, 1, Outcome.PICKED, ()), [share.robot_class]
            )
            for share, fence in shares
        )
    )
    ended = [one.order_id for one in closed if one and one.finished]
    assert len(ended) == len(set(ended)) == 12
    states = await db.rows("SELECT DISTINCT state, picked_units FROM inventory.orders WHERE finished_at IS NOT NULL")
    assert [tuple(row) for row in states] == [("COMPLETED", 3)]


async def test_report_with_invalid_counts_fails_alone_in_its_batch(db: Db) -> None:
    shares = await started(db, 4)
    reports = [Report(share.assignment_id, share.robot_id, fence, 1, Outcome.PICKED, ()) for share, fence in shares]
    wrong = {1: (Pick("milk", 3),), 2: (Pick("moonrock", 1),), 5: (Pick("milk", 2**40),)}
    reports = [
        Report(one.assignment_id, one.robot_id, one.fence, 1, one.outcome, wrong.get(i, ()))
        for i, one in enumerate(reports)
    ]
    closed = await asyncio.gather(
        *(picks.close(db, one, [share.robot_class]) for one, (share, _) in zip(reports, shares, strict=True)),
        return_exceptions=True,
    )
    assert [type(one).__name__ for one in closed] == [
        {1: "NoneType", 2: "NoneType", 5: "NumericValueOutOfRangeError"}.get(i, "ClosedAssignment") for i in range(8)
    ]


async def test_ten_concurrent_starts_grant_one_lease(db: Db) -> None:
    ((share, _), _) = await started(db, 1)
    await db.run("UPDATE inventory.assignments SET lease_until = now() WHERE assignment_id = $1", share.assignment_id)
    leases = await asyncio.gather(
        *(robots.start(db, share.assignment_id, f"bread-{i}", ["bread"], lease_s=60) for i in range(2, 12))
    )
    assert [lease is not None for lease in leases] == [True] + [False] * 9


async def test_shortage_returns_what_earlier_orders_of_the_batch_left(db: Db) -> None:
    await stock(db, {"milk": 5})
    answers = await asyncio.gather(*(hold(db, uuid4(), HoldRequest((Line("milk", n),))) for n in (1, 2, 4, 1)))
    assert answers == [
        HoldResult((Line("milk", 1),)),
        HoldResult((Line("milk", 2),)),
        HoldResult(available=(2,)),
        HoldResult((Line("milk", 1),)),
    ]


async def test_same_order_twice_in_a_batch_is_held_once(db: Db) -> None:
    await stock(db, {"milk": 5})
    order, lines = uuid4(), (Line("milk", 2),)
    answers = await asyncio.gather(*(holds.hold(db, order, lines, 60, allow_partial=False) for _ in range(2)))
    assert [answer is not None for answer in answers] == [True, False]
    with pytest.raises(ShortageError):
        await holds.hold(db, uuid4(), (Line("milk", 4),), 60, allow_partial=False)
