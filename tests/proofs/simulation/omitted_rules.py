"""Rules that the memory ports can omit, one at a time: peers, statements and processes without them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tests.proofs.simulation import statements
from tests.proofs.simulation.memory_db import claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from autogrocery.gateway.store.writes import OrderChangeRow
    from tests.proofs.simulation.tables import Row, Statement


class Rule(StrEnum):
    """A rule of docs/PROTOCOL.md that can be omitted."""

    UNGUARDED_DISPATCH = "mark_dispatched is guarded by (status, intent)"
    UNGUARDED_RELEASE = "mark_released is guarded by the intent"
    UNFENCED_ANSWER = "ALREADY_ASSIGNED counts only for the version in which it was asked"
    EXPIRY_IGNORES_PROMISE = "only rows with no intent expire"
    PROMISE_OVER_RELEASE = "a dispatch is promised only by an idle order"
    UNGUARDED_FINISH = "terminal states are absorbing"
    NO_SWEEPER = "the sweeper makes the call that is owed"
    NO_EXPIRER = "the expirer releases idle quotes"
    NO_RECONCILER = "a lost webhook never matters"
    ASSIGN_NOT_IDEMPOTENT = "K1 Assign is idempotent"
    REGISTER_FORGOTTEN = "K1 the register outlives a restart"
    NO_TOMBSTONE = "K2 Release leaves a tombstone"
    RELEASE_REVOKES_STARTED = "K3 a dispatch that has started is never withdrawn"
    PICK_WITHOUT_START = "K3 a robot asks (StartPick) before it touches stock"
    NO_ITEMS_COMPARED = "K1, K4 neither Reserve nor Assign takes one basket for another"
    ASSIGN_OVERSELLS = "K4 a lapsed hold's stock is taken again, or the dispatch refused"


def _unguarded_dispatch(s: Statement, asked: OrderChangeRow, *_lists: Any) -> list[Row]:
    old = s.tables.orders.get(asked.order_id)
    return [] if old is None else statements.dispatched(s, old, asked)


def _unguarded_release(s: Statement, order_id: UUID, epoch: int, sequence: int) -> list[Row]:
    old = s.tables.orders.get(order_id)
    return [] if old is None else statements.released(s, old, old["release_as"], (epoch, sequence))


def _unfenced(s: Statement, order_id: UUID, epoch: int, sequence: int, _version: int) -> list[Row]:
    old = s.tables.orders.get(order_id)
    return [] if old is None else statements.mark_unreleasable(s, order_id, epoch, sequence, old["version"])


def _any_expires(s: Statement, order_id: UUID, release_as: str, cause: str, lease_s: float) -> list[Row]:
    old = s.tables.orders.get(order_id)
    if old is None or old["status"] != "PREVIEWED" or (release_as == "EXPIRED" and old["expires_at"] > s.now):
        return []
    return [statements.releasing(s, old, release_as, cause, lease_s)]


def _any_promised(s: Statement, order_id: UUID) -> list[Row]:
    old = s.tables.orders.get(order_id)
    return [statements.promised(s, old)] if old and old["status"] == "PREVIEWED" else []


def _any_finished(s: Statement, asked: OrderChangeRow, _lines: list[Any], short: list[Any]) -> list[Row]:
    old = s.tables.orders.get(asked.order_id)
    return [] if old is None else statements.finished(s, old, asked, short)


def _claim_any_expired(s: Statement, limit: int, lease_s: float) -> list[Row]:
    def overdue(order: Row) -> bool:
        return bool(order["status"] == "PREVIEWED" and order["expires_at"] <= s.now)

    return claim(s, limit, overdue, lambda _order: lease_s + s.random())


STATEMENTS: dict[Rule, dict[str, Callable[..., list[Row]]]] = {
    Rule.UNGUARDED_DISPATCH: {"orders.mark_dispatched": _unguarded_dispatch},
    Rule.UNGUARDED_RELEASE: {"orders.mark_released": _unguarded_release},
    Rule.UNFENCED_ANSWER: {"orders.mark_unreleasable": _unfenced},
    Rule.EXPIRY_IGNORES_PROMISE: {"orders.promise_release_idle": _any_expires, "due.claim_expired": _claim_any_expired},
    Rule.PROMISE_OVER_RELEASE: {"orders.promise_dispatch": _any_promised},
    Rule.UNGUARDED_FINISH: {"orders.finish": _any_finished},
}
LOOPS = {(Rule.NO_SWEEPER, "sweeper"), (Rule.NO_EXPIRER, "expirer"), (Rule.NO_RECONCILER, "reconciler")}
