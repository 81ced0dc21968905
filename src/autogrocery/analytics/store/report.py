"""The report's queries. Each is explained in docs/ANALYTICS.md#the-reports-queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.analytics.core.report import (
    HOUR_S,
    AisleLoad,
    Deliveries,
    Outcome,
    Period,
    Received,
    Report,
    RobotLoad,
    ShortAisle,
    ShortSku,
    Stage,
    Step,
    Told,
    busiest_of,
    passed_until,
)
from autogrocery.analytics.store.engine import filled, quoted

if TYPE_CHECKING:
    from autogrocery.analytics.store.engine import Engine

LIST_STEPS: Final = """
-- report.list_steps
SELECT {since} + {step} * intDiv(toUnixTimestamp(minute) - {since}, {step}) AS started_at,
       sumIf(changes, status = 'COMPLETED') AS orders, sumIf(total_cents, status = 'COMPLETED') AS revenue_cents,
       sumIf(m.items, status = 'COMPLETED') AS items, sumIf(changes, status = 'PREVIEWED') AS previews,
       sumIf(m.busy_ms, status IN ('COMPLETED', 'FAILED')) / 1000 AS busy_s,
       ifNotFinite(quantilesMergeIf(0.5, 0.9, 0.99)(duration_ms, status = 'COMPLETED')[2], 0) AS p90_ms
  FROM order_minutes AS m FINAL
 WHERE minute >= toDateTime({since}, 'UTC') AND minute < toDateTime({until}, 'UTC') AND {mart}
 GROUP BY started_at ORDER BY started_at
"""
# Orders that were quoted in the period; what became of them within a day after it. Repeated rows change nothing.
ORDERS: Final = """
SELECT store_id, order_id, argMax(status, version) AS last_status, max(status = 'PROCESSING') AS was_dispatched,
       maxIf(total_cents, status = 'PREVIEWED') AS quoted_cents,
       minIf(occurred_at, status = 'PREVIEWED') AS quoted_at,
       minIf(occurred_at, status = 'PROCESSING') AS dispatched_at,
       maxIf(occurred_at, status = 'COMPLETED') AS completed_at,
       maxIf(total_cents, status = 'COMPLETED') AS charged_cents
  FROM facts
 WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
   AND toStartOfMinute(occurred_at) < toDateTime({until} + 86400, 'UTC') AND {mart}
   AND status NOT IN ('ANNOUNCED', 'RECEIVING', 'RECEIVED', 'REJECTED')
 GROUP BY store_id, order_id
HAVING countIf(status = 'PREVIEWED' AND occurred_at < toDateTime({until}, 'UTC')) > 0
"""
LIST_OUTCOMES: Final = """
-- report.list_outcomes
SELECT last_status AS status, was_dispatched, count() AS orders, sum(o.quoted_cents) AS quoted_cents,
       sumIf(o.quoted_cents - charged_cents, last_status = 'COMPLETED') AS short_cents
  FROM ({orders}) AS o GROUP BY status, was_dispatched ORDER BY orders DESC, status
"""
LIST_STAGES: Final = """
-- report.list_stages
SELECT stage.1 AS name, count() AS orders, quantiles(0.5, 0.9, 0.99)(stage.2) AS ms,
       ms[1] AS p50_ms, ms[2] AS p90_ms, ms[3] AS p99_ms
  FROM (SELECT arrayJoin(arrayFilter(one -> one.3, [
                 ('quote to dispatch', dateDiff('millisecond', quoted_at, dispatched_at), was_dispatched = 1),
                 ('dispatch to end', dateDiff('millisecond', dispatched_at, completed_at),
                  was_dispatched = 1 AND last_status = 'COMPLETED'),
                 ('quote to end', dateDiff('millisecond', quoted_at, completed_at), last_status = 'COMPLETED')
               ])) AS stage
          FROM ({orders}))
 GROUP BY name ORDER BY indexOf(['quote to dispatch', 'dispatch to end', 'quote to end'], name)
"""
LIST_DELIVERIES: Final = """
-- report.list_deliveries
SELECT last_status AS status, count() AS deliveries, sum(units) AS units_announced
  FROM (SELECT order_id, argMax(status, version) AS last_status, maxIf(item_count, status = 'ANNOUNCED') AS units
          FROM facts
         WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
           AND toStartOfMinute(occurred_at) < toDateTime({until} + 86400, 'UTC') AND {mart}
           AND status IN ('ANNOUNCED', 'RECEIVING', 'RECEIVED', 'REJECTED')
         GROUP BY store_id, order_id
        HAVING countIf(status = 'ANNOUNCED' AND occurred_at < toDateTime({until}, 'UTC')) > 0)
 GROUP BY status ORDER BY deliveries DESC
"""
# The period's short lines with their aisle, which robots' picks name; a day's grace, as picks end before their order.
SHORT_LINES: Final = """
SELECT p.aisle AS aisle, s.sku AS sku, s.name AS name, s.order_id AS order_id, s.granted - s.picked AS units,
       units * s.unit_price_cents AS cents
  FROM (SELECT store_id, order_id, sku, name, granted, picked, unit_price_cents FROM short_lines FINAL
         WHERE toStartOfMinute(ended_at) >= toDateTime({since}, 'UTC')
           AND toStartOfMinute(ended_at) < toDateTime({until}, 'UTC') AND {mart}) AS s
  GLOBAL ANY LEFT JOIN
       (SELECT store_id, order_id, aisle, arrayJoin(short_skus) AS sku FROM picks FINAL
         WHERE toStartOfMinute(closed_at) >= toDateTime({since} - 86400, 'UTC')
           AND toStartOfMinute(closed_at) < toDateTime({until}, 'UTC') AND {mart}) AS p
    ON s.store_id = p.store_id AND s.order_id = p.order_id AND s.sku = p.sku
"""
LIST_SHORT_SKUS: Final = """
-- report.list_short_skus
SELECT aisle, sku, any(name) AS name, uniqExact(order_id) AS orders, sum(units) AS units, sum(cents) AS lost_cents
  FROM ({short_lines}) GROUP BY aisle, sku ORDER BY lost_cents DESC, sku LIMIT 25
"""
LIST_SHORT_AISLES: Final = """
-- report.list_short_aisles
SELECT aisle, uniqExact(order_id) AS orders, uniqExact(sku) AS skus, sum(units) AS units, sum(cents) AS lost_cents
  FROM ({short_lines}) GROUP BY aisle ORDER BY lost_cents DESC, aisle
"""
# A robot has one assignment at a time in its hands: it begins one when that is there and the one before is reported.
WORK: Final = """
SELECT store_id, aisle, robot_id, units, closed_at, greatest(assigned_at, done_before) AS begun_at,
       dateDiff('millisecond', begun_at, closed_at) AS busy_ms,
       dateDiff('millisecond', assigned_at, begun_at) AS wait_ms,
       toStartOfMinute(closed_at) >= toDateTime({peak}, 'UTC')
         AND toStartOfMinute(closed_at) < toDateTime({peak} + 3600, 'UTC') AS in_peak
  FROM (SELECT store_id, aisle, robot_id, units, assigned_at, closed_at,
               lagInFrame(closed_at, 1, assigned_at) OVER (PARTITION BY store_id, robot_id ORDER BY closed_at
                 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS done_before
          FROM picks FINAL
         WHERE toStartOfMinute(closed_at) >= toDateTime({since}, 'UTC')
           AND toStartOfMinute(closed_at) < toDateTime({until}, 'UTC') AND {mart})
"""
LIST_AISLES: Final = """
-- report.list_aisles
SELECT aisle, uniqExact(store_id, robot_id) AS robots, count() AS picks, sum(w.units) AS units,
       sum(busy_ms) / 1000 AS busy_s, sumIf(busy_ms, in_peak) / 1000 AS peak_busy_s,
       ifNotFinite(quantileIf(0.9)(wait_ms, in_peak), 0) AS peak_wait_ms
  FROM ({work}) AS w GROUP BY aisle ORDER BY busy_s DESC, aisle
"""
LIST_ROBOTS: Final = """
-- report.list_robots
SELECT aisle, robot_id, store_id, count() AS picks, sum(w.units) AS units, sum(busy_ms) / 1000 AS busy_s
  FROM ({work}) AS w GROUP BY store_id, aisle, robot_id ORDER BY aisle, busy_s DESC, robot_id LIMIT 200
"""
LIST_RECEIVED: Final = """
-- report.list_received
SELECT aisle, uniqExact(order_id) AS deliveries, sum(d.announced) AS announced, sum(d.received) AS received,
       sum(d.damaged) AS damaged, sum(d.missing) AS missing, sum(d.surplus) AS surplus
  FROM delivered AS d FINAL
 WHERE toStartOfMinute(ended_at) >= toDateTime({since}, 'UTC')
   AND toStartOfMinute(ended_at) < toDateTime({until}, 'UTC') AND {mart}
 GROUP BY aisle ORDER BY announced DESC, aisle
"""
GET_TOLD: Final = """
-- report.get_told
WITH (SELECT maxIf(value, startsWith(name, 'shortfalls@')) FROM progress) AS shortfalls_until,
     (SELECT maxIf(value, startsWith(name, 'picks@')) FROM progress) AS picks_until
SELECT shortfalls_until > 0 AS shortfalls, picks_until > 0 AS picks,
       uniqExactIf(order_id, batch > shortfalls_until) AS shortfalls_behind,
       uniqExactIf(order_id, batch > picks_until AND status IN ('COMPLETED', 'FAILED')) AS picks_behind
  FROM facts
 WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
   AND toStartOfMinute(occurred_at) < toDateTime({until}, 'UTC') AND {mart}
   AND status IN ('COMPLETED', 'FAILED', 'RECEIVED', 'REJECTED')
"""
GET_NEWEST: Final = """
-- report.get_newest
SELECT toUnixTimestamp(max(minute)) AS newest_at FROM order_minutes
"""


class _Newest(Struct, frozen=True):
    newest_at: int


async def read_report(engine: Engine, period: Period) -> Report:
    """Return the figures of a period. Raises Unavailable."""
    values = _values(period)
    orders, short_lines = filled(ORDERS, values), filled(SHORT_LINES, values)
    steps = await _steps(engine, period)
    hours = await _steps(engine, msgspec.structs.replace(period, step_s=HOUR_S)) if period.step_s > HOUR_S else []
    busiest = busiest_of(hours or steps)
    work = filled(WORK, {**values, "peak": busiest.started_at if busiest is not None else 0})
    (told,) = await engine.rows(GET_TOLD, Told, **values)
    newest_at = (await engine.rows(GET_NEWEST, _Newest))[0].newest_at
    passed = msgspec.structs.replace(period, until_s=passed_until(period, newest_at)).a_week_before()
    whole = msgspec.structs.replace(passed, step_s=passed.until_s - passed.since_s)
    return Report(
        period,
        steps,
        await _steps(engine, period.a_week_before()),
        await _outcomes(engine, period),
        await engine.rows(LIST_STAGES, Stage, orders=orders, **values),
        await engine.rows(LIST_DELIVERIES, Deliveries, **values),
        newest_at,
        hours=hours,
        short_skus=await engine.rows(LIST_SHORT_SKUS, ShortSku, short_lines=short_lines),
        short_aisles=await engine.rows(LIST_SHORT_AISLES, ShortAisle, short_lines=short_lines),
        aisles=await engine.rows(LIST_AISLES, AisleLoad, work=work),
        robots=await engine.rows(LIST_ROBOTS, RobotLoad, work=work),
        received=await engine.rows(LIST_RECEIVED, Received, **values),
        told=told,
        outcomes_before=await _outcomes(engine, passed),
        before_so_far=(await _steps(engine, whole))[0],
    )


async def _outcomes(engine: Engine, period: Period) -> list[Outcome]:
    values = _values(period)
    return await engine.rows(LIST_OUTCOMES, Outcome, orders=filled(ORDERS, values), **values)


async def _steps(engine: Engine, period: Period) -> list[Step]:
    """Return every step of the period, those without an order too."""
    found = {step.started_at: step for step in await engine.rows(LIST_STEPS, Step, **_values(period))}
    starts = range(period.since_s, period.until_s, period.step_s)
    return [found.get(start, Step(start)) for start in starts]


def _values(period: Period) -> dict[str, object]:
    mart = f"store_id = {quoted(period.store_id)}" if period.store_id else "1"
    return {"since": period.since_s, "until": period.until_s, "step": period.step_s, "mart": mart}
