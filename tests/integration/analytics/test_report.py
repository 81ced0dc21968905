"""The report's figures against the same orders counted in Python."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import msgspec
import pytest

from autogrocery.analytics.core.details import RobotPick, ShortLine
from autogrocery.analytics.core.report import DAY_S, HOUR_S, WEEK_S, Deliveries, Outcome, Period, Report, ShortSku
from autogrocery.analytics.store.details import ADD_PICKS, ADD_SHORT_LINES
from autogrocery.analytics.store.report import read_report
from tests.harness.fact_stores import MILLION, batch, fact, fact_store

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.analytics.core.facts import Fact

DAY: Final = Period(1_767_225_600, 1_767_225_600 + DAY_S)
NOW_US: Final = 1_800_000_000_000_000
PATHS: Final = (
    *((("PREVIEWED", 0), ("PROCESSING", 30), ("COMPLETED", 330)),) * 5,
    (("PREVIEWED", 0), ("CANCELLED", 20)),
    (("PREVIEWED", 0), ("EXPIRED", 900)),
    (("PREVIEWED", 0), ("PROCESSING", 40), ("FAILED", 100)),
)


def day_of_orders(since_s: int, orders: int, store_id: str = "mart-1", first: int = 1) -> list[Fact]:
    """Return `orders` orders, one each ten minutes, on the paths in turn; each costs a euro more than the last."""
    facts = []
    for number in range(orders):
        order_id = str(fact(first + number, epoch=3).order_id)
        for version, (status, after_s) in enumerate(PATHS[number % len(PATHS)], start=1):
            at_us = (since_s + number * 600 + after_s) * MILLION
            ended = status in {"COMPLETED", "FAILED"}
            facts.append(
                fact(
                    first + number,
                    order_id=order_id,
                    version=version,
                    status=status,
                    occurred_at_us=at_us,
                    total_cents=100 * (number + 1),
                    item_count=number + 1,
                    duration_seconds=after_s - 30.0 if ended else 0.0,
                    store_id=store_id,
                )
            )
    return facts


async def report_of(home: Path, facts: list[Fact], period: Period = DAY) -> Report:
    async with fact_store(home) as store:
        for _ in range(2):  # repeated inserts change no figure
            await store.write(batch(facts), NOW_US)
        await store.compute_minutes()
        return await read_report(store.engine, period)


async def test_day_has_every_hour_with_its_orders_and_the_week_before(home: Path) -> None:
    orders = day_of_orders(DAY.since_s, 120)
    report = await report_of(home, orders + day_of_orders(DAY.since_s - WEEK_S, 12, first=1_000))
    expected: Counter[int] = Counter()
    cents: Counter[int] = Counter()
    for one in orders:
        if one.status == "COMPLETED":
            hour = (one.occurred_at // MILLION - DAY.since_s) // HOUR_S
            expected[hour] += 1
            cents[hour] += one.total_cents
    assert [step.orders for step in report.steps] == [expected[hour] for hour in range(24)]
    assert [step.revenue_cents for step in report.steps] == [cents[hour] for hour in range(24)]
    assert sum(step.previews for step in report.steps) == 120
    assert [step.orders for step in report.before[:3]] == [5, 4, 0]
    assert report.busiest == max(report.steps, key=lambda step: step.orders)
    assert report.busiest.p90_ms == pytest.approx(300_000)
    assert report.in_progress(report.steps[0]) == pytest.approx(5 * 300 / HOUR_S)


async def test_outcomes_say_what_became_of_the_orders_quoted_in_the_day(home: Path) -> None:
    orders = day_of_orders(DAY.since_s + DAY_S - 4_800, 9)  # the last order is quoted after midnight
    report = await report_of(home, orders)
    assert {(one.status, one.was_dispatched): (one.orders, one.quoted_cents) for one in report.outcomes} == {
        ("COMPLETED", True): (5, 1_500),
        ("CANCELLED", False): (1, 600),
        ("EXPIRED", False): (1, 700),
        ("FAILED", True): (1, 800),
    }


async def test_stages_are_measured_from_change_to_change(home: Path) -> None:
    report = await report_of(home, day_of_orders(DAY.since_s, 80))
    found = {one.name: (one.orders, one.p50_ms) for one in report.stages}
    assert list(found) == ["quote to dispatch", "dispatch to end", "quote to end"]
    assert found["dispatch to end"] == (50, 300_000)
    assert found["quote to end"] == (50, 330_000)
    assert found["quote to dispatch"] == (60, 30_000)


async def test_deliveries_are_counted_apart_from_orders(home: Path) -> None:
    facts = [
        fact(number, order_id=str(fact(number).order_id), version=version, status=status, item_count=units)
        for number, units in ((1, 40), (2, 60), (3, 5))
        for version, status in enumerate(("ANNOUNCED", "RECEIVING", "RECEIVED")[: 4 - number], start=1)
    ]
    report = await report_of(home, facts)
    assert sorted(report.deliveries, key=lambda one: one.status) == [
        Deliveries("ANNOUNCED", 1, 5),
        Deliveries("RECEIVED", 1, 40),
        Deliveries("RECEIVING", 1, 60),
    ]
    assert report.outcomes == []


async def test_report_is_of_one_mart_or_of_all(home: Path) -> None:
    facts = day_of_orders(DAY.since_s, 8) + day_of_orders(DAY.since_s, 16, "it's", first=500)
    assert sum(step.orders for step in (await report_of(home, facts)).steps) == 15
    one = msgspec.structs.replace(DAY, store_id="it's")
    report = await report_of(home, facts, one)
    assert sum(step.orders for step in report.steps) == 10
    assert Outcome("CANCELLED", was_dispatched=False, orders=2, quoted_cents=2_000) in report.outcomes


async def test_report_of_a_day_without_a_fact_is_empty(home: Path) -> None:
    report = await report_of(home, [])
    assert (report.busiest, report.outcomes, report.stages, report.deliveries) == (None, [], [], [])
    assert len(report.steps) == 24


def pick(robot_id: str, assigned_s: int, closed_s: int, store_id: str = "mart-1", *short: str) -> RobotPick:
    """Return a pick of three units in the dairy aisle, with its times in seconds after the day's beginning."""
    at_us = DAY.since_s * MILLION
    times = (at_us + assigned_s * MILLION, at_us + closed_s * MILLION)
    return RobotPick(uuid4(), uuid4(), robot_id, "dairy", 3, 3 - len(short), list(short), *times, store_id)


async def test_robot_is_busy_from_when_it_has_an_assignment_and_is_done_with_the_one_before(home: Path) -> None:
    picks = [
        pick("dairy-1", 0, 60),  # busy for 60 s
        pick("dairy-1", 30, 100),  # waits for 30 s, busy for 40 s
        pick("dairy-1", 500, 520),  # busy for 20 s after a rest
        pick("dairy-2", 10, 40),  # busy for 30 s
        pick("dairy-1", 10, 20, "mart-2"),  # another robot of the same name: busy for 10 s
        pick("dairy-1", DAY_S + 10, DAY_S + 20),  # the day after
    ]
    async with fact_store(home) as store:
        await store.write(batch(day_of_orders(DAY.since_s, 8)), NOW_US)
        await store.compute_minutes()
        for _ in range(2):
            await store.engine.insert(ADD_PICKS, picks)
        report = await read_report(store.engine, DAY)
        one_mart = await read_report(store.engine, msgspec.structs.replace(DAY, store_id="mart-1"))
    (load,) = report.aisles
    assert (load.robots, load.picks, load.units, load.busy_s) == (3, 5, 15, 160.0)
    assert load.peak_busy_s == 160.0  # all of it in the first hour, in which most orders end
    assert load.peak_load == pytest.approx(160 / HOUR_S)
    assert load.robots_needed == 1
    assert [(one.store_id, one.robot_id, one.picks, one.busy_s) for one in report.robots] == [
        ("mart-1", "dairy-1", 3, 120.0),
        ("mart-1", "dairy-2", 1, 30.0),
        ("mart-2", "dairy-1", 1, 10.0),
    ]
    assert [one.busy_s for one in one_mart.robots] == [120.0, 30.0]


async def test_short_lines_take_the_aisle_of_the_robot_that_found_them_short(home: Path) -> None:
    found = pick("dairy-1", 0, 60, "mart-1", "milk")
    at_us = found.closed_at + MILLION
    lines = [
        ShortLine(found.order_id, at_us, "milk", "Milk", 3, 1, 150, "mart-1"),
        ShortLine(found.order_id, at_us, "pan", "Pan", 1, 0, 900, "mart-1"),  # no robot named it
    ]
    async with fact_store(home) as store:
        for _ in range(2):
            await store.engine.insert(ADD_PICKS, [found])
            await store.engine.insert(ADD_SHORT_LINES, lines)
        report = await read_report(store.engine, DAY)
    assert report.short_skus == [ShortSku("", "pan", "Pan", 1, 1, 900), ShortSku("dairy", "milk", "Milk", 1, 2, 300)]
    assert [(one.aisle, one.lost_cents) for one in report.short_aisles] == [("", 900), ("dairy", 300)]


async def test_day_that_runs_is_compared_up_to_the_newest_fact(home: Path) -> None:
    facts = day_of_orders(DAY.since_s, 6) + day_of_orders(DAY.since_s - WEEK_S, 120, first=1_000)
    report = await report_of(home, facts)
    assert report.is_running
    assert report.length_s == max(one.occurred_at for one in facts) // MILLION // 60 * 60 + 60 - DAY.since_s
    assert report.total_before.orders == 5  # of 75 until midnight
    assert sum(one.orders for one in report.outcomes_before) == 6
    assert sum(step.orders for step in report.before) == 75


async def test_week_has_its_hours_and_what_short_picks_cost_a_week_before(home: Path) -> None:
    week = Period(DAY.since_s, DAY.since_s + WEEK_S, DAY_S)
    facts = [
        fact(number, order_id=str(fact(number).order_id), version=version, status=status, occurred_at_us=at_us, **more)
        for number, since_s in ((1, DAY.since_s + 5 * HOUR_S), (2, DAY.since_s - WEEK_S))
        for version, (status, cents) in enumerate((("PREVIEWED", 500), ("COMPLETED", 500 - number)), start=1)
        for at_us, more in [((since_s + version) * MILLION, {"total_cents": cents})]
    ]
    report = await report_of(home, facts, week)
    assert len(report.hours) == 7 * 24
    assert report.busiest is not None
    assert report.busiest.started_at == DAY.since_s + 5 * HOUR_S
    assert (report.short_cents, report.short_cents_before) == (1, 2)
