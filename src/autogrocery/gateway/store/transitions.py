"""Every change of an order's status or intent. Each WHERE is the guard that the order's EDGES ask for.

A function that changes a row also replaces or drops the order's entry in the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Order, Status
from autogrocery.gateway.core.status_change import StatusChange
from autogrocery.gateway.store.writes import (
    WRITE_ALERTING_BATCH,
    WRITE_BATCH,
    DispatchedOrder,
    FinishedOrder,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.gateway.core.order import Cause, OrderResult, Robot, WebhookDelivery
    from autogrocery.gateway.core.status_change import MetricNumber
    from autogrocery.gateway.store.order_store import OrderStore
    from autogrocery.kit.pg.db import Db, Row


class Dispatched(Struct, frozen=True):
    """An order after its dispatch was committed, and the status change that did it."""

    order: Order
    change: StatusChange


async def mark_dispatched(
    store: OrderStore, order: Order, robots: tuple[Robot, ...], *, number: MetricNumber
) -> Dispatched | None:
    """PREVIEWED, idle or with a DISPATCH intent → PROCESSING; None if the guard refuses: another caller was first."""
    rows = await write(store.db, "orders.mark_dispatched", DispatchedOrder(order.order_id, robots, number))
    if not rows:
        store.cache.drop(order.order_id)
        return None
    (change,) = _changes(rows, Status.PROCESSING, number)
    dispatched = msgspec.structs.replace(
        order,
        status=Status.PROCESSING,
        intent=None,
        version=change.version,
        robots=robots,
        confirmed_at=change.confirmed_at,
        dispatched_at=change.at,
    )
    store.cache.put(dispatched)
    return Dispatched(dispatched, change)


PROMISE_DISPATCH = """
-- orders.promise_dispatch
UPDATE grocery_orders
   SET intent = 'DISPATCH', intent_at = now(), confirmed_at = coalesce(confirmed_at, now()), attempts = 0,
       due_at = now()
 WHERE order_id = $1 AND status = 'PREVIEWED' AND intent IS NULL
"""


async def promise_dispatch(store: OrderStore, order_id: UUID) -> bool:
    """Set the DISPATCH intent, which the sweeper carries out; False unless the row is PREVIEWED without an intent."""
    store.cache.drop(order_id)
    return await store.db.run(PROMISE_DISPATCH, order_id) == 1


PROMISE_RELEASE = """
-- orders.promise_release
UPDATE grocery_orders
   SET intent = 'RELEASE', intent_at = now(), release_as = $2, release_cause = $3, attempts = 0,
       due_at = now() + $4 * interval '1 second'
 WHERE order_id = $1
   AND ((status = 'PREVIEWED' AND intent IS DISTINCT FROM 'RELEASE')
        OR (status = 'PROCESSING' AND intent IS NULL AND $2 = 'CANCELLED'))
"""


async def promise_release(
    store: OrderStore, order_id: UUID, release_as: Status, cause: Cause, *, lease_s: float
) -> bool:
    """Set the RELEASE intent and the status in which the release ends; False if the row's guard refuses.

    The sweeper leaves the order alone for `lease_s` seconds, in which the caller makes the call itself.
    """
    store.cache.drop(order_id)
    return await store.db.run(PROMISE_RELEASE, order_id, release_as, cause, lease_s) == 1


PROMISE_RELEASE_IDLE = """
-- orders.promise_release_idle
UPDATE grocery_orders
   SET intent = 'RELEASE', intent_at = now(), release_as = $2, release_cause = $3, attempts = 0,
       due_at = now() + $4 * interval '1 second'
 WHERE order_id = $1 AND status = 'PREVIEWED' AND intent IS NULL AND ($2 <> 'EXPIRED' OR expires_at <= now())
"""


async def promise_release_idle(
    store: OrderStore, order_id: UUID, release_as: Status, cause: Cause, *, lease_s: float
) -> bool:
    """Set the RELEASE intent of an order that has none, for an expiry or the quota; False if the guard refuses."""
    store.cache.drop(order_id)
    return await store.db.run(PROMISE_RELEASE_IDLE, order_id, release_as, cause, lease_s) == 1


MARK_RELEASED = """
-- orders.mark_released
WITH moved AS (
  UPDATE grocery_orders
     SET status = release_as, version = version + 1, intent = NULL, intent_at = NULL, finished_at = now(),
         due_at = NULL,
         attention = NULL, total_cents = CASE WHEN release_as = 'FAILED' THEN 0 ELSE total_cents END
   WHERE order_id = $1 AND intent = 'RELEASE'
  RETURNING order_id, user_id, version, status, dispatched_at, release_cause, confirmed_at,
            total_cents, item_count, line_count),
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT order_id, version, CASE WHEN dispatched_at IS NULL THEN 'PREVIEWED' ELSE 'PROCESSING' END, status,
         release_cause,
         $2, $3
    FROM moved),
alert AS (
  INSERT INTO alert_outbox (order_id, event, user_id)
  SELECT m.order_id, 'FAILED', m.user_id
    FROM moved m JOIN smart_devices d ON d.id = m.user_id
   WHERE m.status = 'FAILED' AND m.confirmed_at IS NOT NULL AND d.phone IS NOT NULL AND d.alerts <> 'none')
SELECT *, now() AS at FROM moved
"""


async def mark_released(store: OrderStore, order_id: UUID, *, number: MetricNumber) -> StatusChange | None:
    """Inventory has acknowledged the release: move to the row's `release_as`. None if it has no RELEASE intent.

    A FAILED order owes its device an alert only if a confirm was answered with 202: else the refusal itself is the
    answer.
    """
    store.cache.drop(order_id)
    return await _change(store.db, number, None, MARK_RELEASED, order_id, number.epoch, number.sequence)


MARK_UNRELEASABLE = """
-- orders.mark_unreleasable
WITH was AS (SELECT order_id, status FROM grocery_orders WHERE order_id = $1 FOR UPDATE),
moved AS (
  UPDATE grocery_orders o
     SET status = 'PROCESSING', version = o.version + (was.status = 'PREVIEWED')::int, intent = NULL, intent_at = NULL,
         confirmed_at = coalesce(o.confirmed_at, now()), dispatched_at = coalesce(o.dispatched_at, now()), attempts = 0,
         attention = NULL, due_at = now() + interval '1 minute'
    FROM was
   WHERE o.order_id = was.order_id AND o.intent = 'RELEASE' AND o.version = $4
  RETURNING o.order_id, o.version, o.confirmed_at, o.total_cents, o.item_count, o.line_count,
            was.status = 'PREVIEWED' AS first),
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT order_id, version, 'PREVIEWED', 'PROCESSING', 'dispatched', $2, $3 FROM moved WHERE first)
SELECT *, now() AS at FROM moved WHERE first
"""


async def mark_unreleasable(
    store: OrderStore, order_id: UUID, version: int, *, number: MetricNumber
) -> StatusChange | None:
    """Robots have the order at inventory: (back) to PROCESSING. Returns the change if the order was PREVIEWED.

    `version` is the order's when inventory was asked: an answer to an expiry must not decide a cancel that came after
    it.
    """
    store.cache.drop(order_id)
    return await _change(
        store.db, number, Status.PROCESSING, MARK_UNRELEASABLE, order_id, number.epoch, number.sequence, version
    )


async def finish(
    store: OrderStore,
    order_id: UUID,
    result: OrderResult,
    *,
    robots: Sequence[Robot] | None,
    even_if_idle: bool,
    delivery: WebhookDelivery | None,
    number: MetricNumber,
) -> list[StatusChange]:
    """PROCESSING, or PREVIEWED with an intent (`even_if_idle`: or without) → COMPLETED or FAILED.

    The same commit writes the receipt, the inbox entry of `delivery`, and the alert if the store's policy and the
    device want one. `number` must leave the one before it free too: an order that was still PREVIEWED makes two
    changes. Returns an empty list if the row's guard refuses: another caller was first, or nothing says yet that
    robots have the order.
    """
    rows = await write(
        store.db,
        "orders.finish",
        FinishedOrder(order_id, result, robots, even_if_idle, delivery, number),
        WRITE_ALERTING_BATCH if store.alerts.may_alert(result) else WRITE_BATCH,
    )
    if rows:
        store.cache.drop(order_id)
    return _changes(rows, result.status, number)


def _changes(rows: Sequence[Row], to_status: Status, number: MetricNumber) -> list[StatusChange]:
    """Return the changes of a written order: two if it moved from PREVIEWED past PROCESSING, the first as quoted."""
    changes: list[StatusChange] = []
    for row in rows:
        last = StatusChange(
            row["order_id"],
            row["version"],
            to_status,
            row["at"],
            row["confirmed_at"],
            row["total_cents"],
            row["item_count"],
            row["line_count"],
            number,
        )
        if row["from_status"] == Status.PREVIEWED and to_status is not Status.PROCESSING:
            changes.append(
                msgspec.structs.replace(
                    last,
                    version=last.version - 1,
                    to_status=Status.PROCESSING,
                    total_cents=row["quoted_total_cents"],
                    number=msgspec.structs.replace(number, sequence=number.sequence - 1),
                )
            )
        changes.append(last)
    return changes


async def _change(
    db: Db, number: MetricNumber, to_status: Status | None, sql: str, *args: object
) -> StatusChange | None:
    row = await db.row(sql, *args)
    if row is None:
        return None
    return StatusChange(
        args[0],  # type: ignore[arg-type]
        row["version"],
        to_status or Status(row["status"]),
        row["at"],
        row["confirmed_at"],
        row["total_cents"],
        row["item_count"],
        row["line_count"],
        number,
    )
