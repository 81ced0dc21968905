"""The report's queries. Each is explained in docs/ANALYTICS.md#the-reports-queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.analytics.core.report import Deliveries, Outcome, Period, Report, Stage, Step
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
       maxIf(occurred_at, status = 'COMPLETED') AS completed_at
  FROM facts
 WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
   AND toStartOfMinute(occurred_at) < toDateTime({until} + 86400, 'UTC') AND {mart}
   AND status NOT IN ('ANNOUNCED', 'RECEIVING', 'RECEIVED', 'REJECTED')
 GROUP BY store_id, order_id
HAVING countIf(status = 'PREVIEWED' AND occurred_at < toDateTime({until}, 'UTC')) > 0
"""
LIST_OUTCOMES: Final = """
-- report.list_outcomes
SELECT last_status AS status, was_dispatched, count() AS orders, sum(quoted_cents) AS quoted_cents
  FROM ({orders}) GROUP BY status, was_dispatched ORDER BY orders DESC, status
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
GET_NEWEST: Final = """
-- report.get_newest
SELECT toUnixTimestamp(max(minute)) AS newest_at FROM order_minutes
"""


class _Newest(Struct, frozen=True):
    newest_at: int


async def read_report(engine: Engine, period: Period) -> Report:
    """Return the figures of a period. Raises Unavailable."""
    values = _values(period)
    orders = filled(ORDERS, values)
    return Report(
        period,
        await _steps(engine, period),
        await _steps(engine, period.a_week_before()),
        await engine.rows(LIST_OUTCOMES, Outcome, orders=orders, **values),
        await engine.rows(LIST_STAGES, Stage, orders=orders, **values),
        await engine.rows(LIST_DELIVERIES, Deliveries, **values),
        (await engine.rows(GET_NEWEST, _Newest))[0].newest_at,
    )


async def _steps(engine: Engine, period: Period) -> list[Step]:
    """Return every step of the period, those without an order too."""
    found = {step.started_at: step for step in await engine.rows(LIST_STEPS, Step, **_values(period))}
    starts = range(period.since_s, period.until_s, period.step_s)
    return [found.get(start, Step(start)) for start in starts]


def _values(period: Period) -> dict[str, object]:
    mart = f"store_id = {quoted(period.store_id)}" if period.store_id else "1"
    return {"since": period.since_s, "until": period.until_s, "step": period.step_s, "mart": mart}
