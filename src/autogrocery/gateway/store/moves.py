"""Every way an order's row changes. Each WHERE repeats the core's decision; the caller learns whether it won."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Outcome, Status
from autogrocery.gateway.store.writes import ALERTING, TOGETHER, Asked, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.gateway.core.order import Robot, Settlement
    from autogrocery.gateway.core.restock import RestockStatus
    from autogrocery.gateway.store.orders import Number
    from autogrocery.kit.pg.db import Db, Row


class Change(Struct, frozen=True):
    """One status change that is committed, of an order or a restock: what its metric tells.

    Of a restock `confirmed_at` is when it was announced, the counts are what was announced, and it has no money: what a metric
    adds up is what devices are charged, and what suppliers ask is nobody's business.
    """

    order_id: UUID
    version: int
    to_status: Status | RestockStatus
    at: datetime
    confirmed_at: datetime | None
    total_cents: int
    item_count: int
    line_count: int
    number: Number


async def mark_dispatched(db: Db, order_id: UUID, robots: Sequence[Robot], *, number: Number) -> Change | None:
    """PREVIEWED, idle or in doubt → PROCESSING; None if somebody was faster."""
    asked = Asked(order_id, Status.PROCESSING, Cause.DISPATCHED, number.epoch, number.sequence, robots=_json(robots))
    changes = _changes(await write(db, "orders.mark_dispatched", asked), order_id, number)
    return changes[0] if changes else None


PROMISE_DISPATCH = """
-- orders.promise_dispatch
UPDATE grocery_orders
   SET intent = 'DISPATCH', intent_at = now(), confirmed_at = coalesce(confirmed_at, now()), attempts = 0, due_at = now()
 WHERE order_id = $1 AND status = 'PREVIEWED' AND intent IS NULL
"""


async def promise_dispatch(db: Db, order_id: UUID) -> bool:
    """Write down that a dispatch is owed; the sweeper keeps the promise. False if the row is no idle PREVIEWED any more."""
    return await db.run(PROMISE_DISPATCH, order_id) == 1


PROMISE_RELEASE = """
-- orders.promise_release
UPDATE grocery_orders
   SET intent = 'RELEASE', intent_at = now(), release_as = $2, release_cause = $3, attempts = 0,
       due_at = now() + $4 * interval '1 second'
 WHERE order_id = $1
   AND ((status = 'PREVIEWED' AND intent IS DISTINCT FROM 'RELEASE')
        OR (status = 'PROCESSING' AND intent IS NULL AND $2 = 'CANCELLED'))
"""


async def promise_release(db: Db, order_id: UUID, release_as: Status, cause: Cause, *, lease_s: float) -> bool:
    """Write down that a release is owed, and as what it will end; False if the row does not allow it any more.

    The sweeper leaves it alone for `lease_s` seconds, in which the caller makes the call itself.
    """
    return await db.run(PROMISE_RELEASE, order_id, release_as, cause, lease_s) == 1


PROMISE_RELEASE_IDLE = """
-- orders.promise_release_idle
UPDATE grocery_orders
   SET intent = 'RELEASE', intent_at = now(), release_as = $2, release_cause = $3, attempts = 0,
       due_at = now() + $4 * interval '1 second'
 WHERE order_id = $1 AND status = 'PREVIEWED' AND intent IS NULL AND ($2 <> 'EXPIRED' OR expires_at <= now())
"""


async def promise_release_idle(db: Db, order_id: UUID, release_as: Status, cause: Cause, *, lease_s: float) -> bool:
    """Write down a release that nobody asked for (expiry, quota): only of an order in which nothing is under way."""
    return await db.run(PROMISE_RELEASE_IDLE, order_id, release_as, cause, lease_s) == 1


MARK_RELEASED = """
-- orders.mark_released
WITH moved AS (
  UPDATE grocery_orders
     SET status = release_as, version = version + 1, intent = NULL, intent_at = NULL, finished_at = now(), due_at = NULL,
         attention = NULL, total_cents = CASE WHEN release_as = 'FAILED' THEN 0 ELSE total_cents END
   WHERE order_id = $1 AND intent = 'RELEASE'
  RETURNING order_id, user_id, version, status, dispatched_at, release_cause, confirmed_at, total_cents, item_count, line_count),
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT order_id, version, CASE WHEN dispatched_at IS NULL THEN 'PREVIEWED' ELSE 'PROCESSING' END, status, release_cause,
         $2, $3
    FROM moved),
alert AS (
  INSERT INTO alert_outbox (order_id, event, user_id)
  SELECT m.order_id, 'FAILED', m.user_id
    FROM moved m JOIN smart_devices d ON d.id = m.user_id
   WHERE m.status = 'FAILED' AND m.confirmed_at IS NOT NULL AND d.phone IS NOT NULL AND d.alerts <> 'none')
SELECT *, now() AS at FROM moved
"""


async def mark_released(db: Db, order_id: UUID, *, number: Number) -> Change | None:
    """Inventory has acknowledged the release: to the terminal status that the row names. None if somebody was faster.

    A device that was promised robots (202) and gets none is alerted; one that hears the refusal itself is not.
    """
    return await _change(db, number, None, MARK_RELEASED, order_id, number.epoch, number.sequence)


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
  RETURNING o.order_id, o.version, o.confirmed_at, o.total_cents, o.item_count, o.line_count, was.status = 'PREVIEWED' AS first),
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT order_id, version, 'PREVIEWED', 'PROCESSING', 'dispatched', $2, $3 FROM moved WHERE first)
SELECT *, now() AS at FROM moved WHERE first
"""


async def mark_unreleasable(db: Db, order_id: UUID, version: int, *, number: Number) -> Change | None:
    """Robots have the order, says inventory: (back) to PROCESSING. The change, if the order was still PREVIEWED.

    `version` is the order's when inventory was asked: an answer to an expiry says nothing to a cancel that came after it.
    """
    return await _change(
        db, number, Status.PROCESSING, MARK_UNRELEASABLE, order_id, number.epoch, number.sequence, version
    )


class Delivery(Struct, frozen=True):
    """The webhook that told us, to be remembered in the inbox."""

    webhook_id: str
    body_sha256: bytes


async def finish(
    db: Db,
    order_id: UUID,
    settlement: Settlement,
    *,
    robots: Sequence[Robot] | None,
    even_if_idle: bool,
    delivery: Delivery | None,
    number: Number,
    alert_completed: bool = False,
) -> list[Change]:
    """PROCESSING, or PREVIEWED with an intent (`even_if_idle`: or without) → COMPLETED or FAILED, with receipt and inbox.

    A device with a telephone has its alert written, if it was picked short or not at all; `alert_completed`: or whole.
    `number` must leave the one before it free too: an order that was still PREVIEWED makes two changes. Empty list:
    somebody was faster, or the row does not allow it.
    """
    cause = Cause.PICKED if settlement.status is Status.COMPLETED else Cause.NOTHING_PICKED
    asked = Asked(
        order_id,
        settlement.status,
        cause,
        number.epoch,
        number.sequence,
        total_cents=settlement.total_cents,
        sha256=delivery.body_sha256 if delivery else None,
        robots=_json(robots) if robots else None,
        outcome=settlement.outcome,
        even_if_idle=even_if_idle,
        webhook_id=delivery.webhook_id if delivery else None,
    )
    short = [(order_id, line_no, picked) for line_no, picked in settlement.short]
    quiet = settlement.outcome is Outcome.FULL and not alert_completed
    rows = await write(db, "orders.finish", asked, short=short, many=TOGETHER if quiet else ALERTING)
    return _changes(rows, order_id, number)


def _changes(rows: Sequence[Row], order_id: UUID, number: Number) -> list[Change]:
    return [
        Change(
            order_id,
            row["version"],
            Status(row["to_status"]),
            row["at"],
            row["confirmed_at"],
            row["total_cents"],
            row["item_count"],
            row["line_count"],
            msgspec.structs.replace(number, sequence=row["sequence"]),
        )
        for row in rows
    ]


def _json(robots: Sequence[Robot]) -> str:
    return msgspec.json.encode(robots).decode()


async def _change(db: Db, number: Number, to_status: Status | None, sql: str, *args: object) -> Change | None:
    row = await db.row(sql, *args)
    if row is None:
        return None
    return Change(
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
