"""The effect of each statement on orders, by the name in its first line."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from autogrocery.gateway.store.writes import NewOrderRow, OrderChangeRow
    from tests.proofs.simulation.tables import Row, Statement

MINUTE_S = 60.0
LINE = ("order_id", "line_no", "sku", "name", "requested", "quantity", "unit_price_cents")
MOVED = ("order_id", "version", "confirmed_at", "total_cents", "item_count", "line_count")


def text(value: object) -> str | None:
    """Return an enum's value as the text that a column holds."""
    return None if value is None else str(value)


def moved(s: Statement, row: Row, *more: str) -> list[Row]:
    """Return the columns that a status change returns (RETURNING)."""
    return [{**{name: row[name] for name in (*MOVED, *more)}, "at": s.now}]


def get(s: Statement, asked: tuple[UUID, int | None]) -> list[Row]:
    order_id, user_id = asked
    order = s.tables.orders.get(order_id)
    return [] if order is None or user_id not in {None, order["user_id"]} else [shown(s, order)]


def get_of_device(s: Statement, asked: tuple[UUID, int | None]) -> list[Row]:
    return get(s, asked)


def shown(s: Statement, order: Row) -> Row:
    """Return an order with its lines, as a read returns it."""
    lines = s.tables.lines[order["order_id"]]
    picked: list[int | None] = [None] * len(lines)
    if order["status"] == "FAILED":
        picked = [0] * len(lines)
    if order["status"] == "COMPLETED":
        short = s.tables.short_picks
        picked = [short.get((order["order_id"], line["line_no"]), line["quantity"]) for line in lines]
    columns = {
        name: [line[column] for line in lines]
        for name, column in (
            ("skus", "sku"),
            ("names", "name"),
            ("quantities", "quantity"),
            ("requested", "requested"),
            ("prices", "unit_price_cents"),
        )
    }
    return {**order, **columns, "picked": picked, "overdue": order["expires_at"] <= s.now}


def list_of_device(
    s: Statement, user_id: int, status: object, at: object, before: UUID | None, limit: int
) -> list[Row]:
    found = [
        order
        for order in s.tables.orders.values()
        if order["user_id"] == user_id
        and status in {None, order["status"]}
        and (at is None or (order["created_at"], order["order_id"]) < (at, before))
    ]
    found.sort(key=lambda order: (order["created_at"], order["order_id"]), reverse=True)
    return [shown(s, order) for order in found[:limit]]


def list_holding(s: Statement, user_id: int, other_than: UUID, skus: list[str]) -> list[Row]:
    found = [
        order
        for order in s.tables.orders.values()
        if order["user_id"] == user_id
        and order["status"] == "PREVIEWED"
        and order["intent"] != "DISPATCH"
        and order["order_id"] != other_than
        and any(line["sku"] in skus for line in s.tables.lines[order["order_id"]])
    ]
    return sorted(found, key=lambda order: order["created_at"])[:10]


def list_idle_beyond(s: Statement, asked: tuple[int, int]) -> list[Row]:
    user_id, keep = asked
    found = [
        order
        for order in s.tables.orders.values()
        if order["user_id"] == user_id
        and order["status"] == "PREVIEWED"
        and order["intent"] is None
        and order["created_at"] > s.now - timedelta(days=1)
    ]
    return sorted(found, key=lambda order: order["created_at"], reverse=True)[keep : keep + 10]


def list_events(s: Statement, order_id: UUID, after: int) -> list[Row]:
    history = s.tables.history.get(order_id, {})
    return [history[version] for version in sorted(history) if version > after]


def add(s: Statement, asked: NewOrderRow, lines: list[Any], _summary: list[Any]) -> list[Row]:
    if asked.order_id in s.tables.orders:
        return []
    until = s.later(asked.ttl_s)
    order = {
        "order_id": asked.order_id,
        "user_id": asked.user_id,
        "status": "PREVIEWED",
        "intent": None,
        "release_as": None,
        "release_cause": None,
        "version": 1,
        "currency": asked.currency,
        "quoted_total_cents": asked.total_cents,
        "total_cents": asked.total_cents,
        "item_count": asked.item_count,
        "line_count": asked.line_count,
        "request_sha256": asked.sha256,
        "robots": None,
        "outcome": None,
        "created_at": s.now,
        "expires_at": until,
        "confirmed_at": None,
        "dispatched_at": None,
        "finished_at": None,
        "intent_at": None,
        "due_at": until,
        "attempts": 0,
        "attention": None,
    }
    s.add_order(order, [dict(zip(LINE, line, strict=True)) for line in lines])
    s.note(asked.order_id, 1, None, "PREVIEWED", "previewed", (asked.epoch, asked.sequence))
    return [
        {
            "order_id": asked.order_id,
            "version": 1,
            "at": s.now,
            "expires_at": until,
        }
    ]


def mark_dispatched(s: Statement, asked: OrderChangeRow, *_lists: Any) -> list[Row]:
    old = s.tables.orders.get(asked.order_id)
    if old is None or old["status"] != "PREVIEWED" or old["intent"] not in {None, "DISPATCH"}:
        return []
    return dispatched(s, old, asked)


def dispatched(s: Statement, old: Row, asked: OrderChangeRow) -> list[Row]:
    new = s.change(
        old,
        status="PROCESSING",
        version=old["version"] + 1,
        intent=None,
        intent_at=None,
        robots=asked.robots,
        confirmed_at=old["confirmed_at"] or s.now,
        dispatched_at=s.now,
        attempts=0,
        attention=None,
        due_at=old["due_at"] if s.later(MINUTE_S) <= old["due_at"] <= s.later(2 * MINUTE_S) else s.later(MINUTE_S),
    )
    s.note(new["order_id"], new["version"], "PREVIEWED", "PROCESSING", "dispatched", (asked.epoch, asked.sequence))
    return [{**moved(s, new)[0], "from_status": old["status"]}]


def promise_dispatch(s: Statement, order_id: UUID) -> list[Row]:
    old = s.tables.orders.get(order_id)
    if old is None or old["status"] != "PREVIEWED" or old["intent"] is not None:
        return []
    return [promised(s, old)]


def promised(s: Statement, old: Row) -> Row:
    confirmed_at = old["confirmed_at"] or s.now
    return s.change(old, intent="DISPATCH", intent_at=s.now, confirmed_at=confirmed_at, attempts=0, due_at=s.now)


def promise_release(s: Statement, order_id: UUID, release_as: str, cause: str, lease_s: float) -> list[Row]:
    old = s.tables.orders.get(order_id)
    if old is None:
        return []
    previewed = old["status"] == "PREVIEWED" and old["intent"] != "RELEASE"
    processing = old["status"] == "PROCESSING" and old["intent"] is None and release_as == "CANCELLED"
    return [releasing(s, old, release_as, cause, lease_s)] if previewed or processing else []


def promise_release_idle(s: Statement, order_id: UUID, release_as: str, cause: str, lease_s: float) -> list[Row]:
    old = s.tables.orders.get(order_id)
    if old is None or old["status"] != "PREVIEWED" or old["intent"] is not None:
        return []
    if release_as == "EXPIRED" and old["expires_at"] > s.now:
        return []
    return [releasing(s, old, release_as, cause, lease_s)]


def releasing(s: Statement, old: Row, release_as: str, cause: str, lease_s: float) -> Row:
    return s.change(
        old,
        intent="RELEASE",
        intent_at=s.now,
        release_as=text(release_as),
        release_cause=text(cause),
        attempts=0,
        due_at=s.later(lease_s),
    )


def mark_released(s: Statement, order_id: UUID, epoch: int, sequence: int) -> list[Row]:
    old = s.tables.orders.get(order_id)
    if old is None or old["intent"] != "RELEASE":
        return []
    return released(s, old, old["release_as"], (epoch, sequence))


def released(s: Statement, old: Row, release_as: str, metric: tuple[int, int]) -> list[Row]:
    new = s.change(
        old,
        status=release_as,
        version=old["version"] + 1,
        intent=None,
        intent_at=None,
        finished_at=s.now,
        due_at=None,
        attention=None,
        total_cents=0 if release_as == "FAILED" else old["total_cents"],
    )
    start = "PREVIEWED" if old["dispatched_at"] is None else "PROCESSING"
    s.note(old["order_id"], new["version"], start, new["status"], old["release_cause"], metric)
    return moved(s, new, "status", "dispatched_at", "release_cause")


def mark_unreleasable(s: Statement, order_id: UUID, epoch: int, sequence: int, version: int) -> list[Row]:
    old = s.tables.orders.get(order_id)
    if old is None or old["intent"] != "RELEASE" or old["version"] != version:
        return []
    first = old["status"] == "PREVIEWED"
    new = s.change(
        old,
        status="PROCESSING",
        version=old["version"] + first,
        intent=None,
        intent_at=None,
        confirmed_at=old["confirmed_at"] or s.now,
        dispatched_at=old["dispatched_at"] or s.now,
        attempts=0,
        attention=None,
        due_at=s.later(MINUTE_S),
    )
    if not first:
        return []
    s.note(order_id, new["version"], "PREVIEWED", "PROCESSING", "dispatched", (epoch, sequence))
    return [{**moved(s, new)[0], "first": True}]


def finish(s: Statement, asked: OrderChangeRow, _lines: list[Any], short: list[Any]) -> list[Row]:
    old = s.tables.orders.get(asked.order_id)
    if old is None:
        return []
    overtaken = old["status"] == "PREVIEWED" and (old["intent"] is not None or asked.even_if_idle)
    return finished(s, old, asked, short) if overtaken or old["status"] == "PROCESSING" else []


def finished(s: Statement, old: Row, asked: OrderChangeRow, short: list[Any]) -> list[Row]:
    status, total, sequence = text(asked.to_status), asked.total_cents, asked.sequence
    order_id, first = old["order_id"], old["status"] == "PREVIEWED"
    new = s.change(
        old,
        status=status,
        version=old["version"] + 1 + first,
        intent=None,
        intent_at=None,
        total_cents=total,
        outcome=text(asked.outcome),
        robots=asked.robots or old["robots"],
        due_at=None,
        confirmed_at=old["confirmed_at"] or s.now,
        dispatched_at=old["dispatched_at"] or s.now,
        finished_at=s.now,
        attention=None,
    )
    if first:
        s.note(order_id, new["version"] - 1, "PREVIEWED", "PROCESSING", "dispatched", (asked.epoch, sequence - 1))
    cause = text(asked.cause) or ""
    s.note(order_id, new["version"], "PROCESSING", status or "", cause, (asked.epoch, sequence))
    for _, line_no, count in short:
        s.add_short_pick(order_id, line_no, count)
    if status == "COMPLETED":
        s.add_receipt(order_id, done=s.tables.devices[old["user_id"]] is None)
    if asked.webhook_id is not None:
        s.remember(order_id, asked.webhook_id, asked.sha256 or b"")
    return [{**moved(s, new, "quoted_total_cents")[0], "from_status": old["status"]}]


ORDERS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    f"orders.{function.__name__}": function
    for function in (
        get,
        get_of_device,
        list_of_device,
        list_holding,
        list_idle_beyond,
        list_events,
        add,
        mark_dispatched,
        promise_dispatch,
        promise_release,
        promise_release_idle,
        mark_released,
        mark_unreleasable,
        finish,
    )
}
