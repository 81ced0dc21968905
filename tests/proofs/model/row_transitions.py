"""The transitions of the row: the guards of the gateway's SQL as sets of (status, intent), the targets from EDGES."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from autogrocery.gateway.core.order import EDGES, Cause, Fact, Intent, Status
from tests.proofs.model.world import Row, Rule, Setting, World

PREVIEWED, PROCESSING = Status.PREVIEWED, Status.PROCESSING
DISPATCH, RELEASE = Intent.DISPATCH, Intent.RELEASE
Guard = frozenset[tuple[Status, Intent | None]]
IN_RELEASE: Final[Guard] = frozenset({(PREVIEWED, RELEASE), (PROCESSING, RELEASE)})
MARK_DISPATCHED: Final[Guard] = frozenset({(PREVIEWED, None), (PREVIEWED, DISPATCH)})
PROMISE_DISPATCH: Final[Guard] = frozenset({(PREVIEWED, None)})
PROMISE_RELEASE: Final[Guard] = frozenset({(PREVIEWED, None), (PREVIEWED, DISPATCH)})
PROMISE_CANCEL: Final[Guard] = PROMISE_RELEASE | {(PROCESSING, None)}
PROMISE_RELEASE_IDLE: Final[Guard] = frozenset({(PREVIEWED, None)})
MARK_RELEASED: Final[Guard] = IN_RELEASE
MARK_UNRELEASABLE: Final[Guard] = IN_RELEASE
FINISH: Final[Guard] = IN_RELEASE | {(PROCESSING, None), (PREVIEWED, DISPATCH)}
FINISH_EVEN_IF_IDLE: Final[Guard] = FINISH | {(PREVIEWED, None)}

TARGET: Final = {fact: target for (_, fact), target in EDGES.items()}  # a fact leads to one status from every start
RELEASED: Final = {
    Status.CANCELLED: Fact.RELEASED_ON_CANCEL,
    Status.EXPIRED: Fact.RELEASED_ON_EXPIRY,
    Status.FAILED: Fact.RELEASED_UNSERVED,
}


class Transition(NamedTuple):
    """The world after a commit, and the edges that the status took."""

    world: World
    edges: tuple[tuple[Status, Fact], ...] = ()


def commit(world: World, row: Row, setting: Setting) -> World:
    """Write the row; the device may read it at once."""
    before = world.before
    if setting.failover and before is not None:
        before = (world.row,)
    promised = world.promised and row.status in {
        PREVIEWED,
        Status.EXPIRED,
    }  # a promise is kept once the row is PROCESSING
    shown = row.status if row.status in future(world.shown) else world.shown  # the last status that fits the row
    return world._replace(row=row, shown=shown, promised=promised, before=before)


@cache
def future(shown: Status | None) -> frozenset[Status]:
    """Return every status that may follow one that the device saw, that one included."""
    after = {shown} if shown else set(Status)
    while more := {end for (start, _), end in EDGES.items() if start in after} - after:
        after |= more
    return frozenset(after)


def mark_dispatched(world: World, setting: Setting) -> Transition | None:
    if not (row := _guarded(world, MARK_DISPATCHED, setting)):
        return None
    return _along(world, row._replace(intent=None), setting, Fact.DISPATCHED)


def promise_dispatch(world: World, setting: Setting) -> World | None:
    row = _guarded(world, PROMISE_DISPATCH, setting)
    return commit(world, row._replace(intent=DISPATCH), setting) if row else None


def promise_release(world: World, setting: Setting, release_as: Status, cause: Cause, guard: Guard) -> World | None:
    if not (row := _guarded(world, guard, setting)):
        return None
    row = row._replace(intent=RELEASE, release_as=release_as, cause=cause)
    if setting.omitted is Rule.TERMINAL_BEFORE_ACK:
        row = row._replace(status=release_as)
    world = commit(world, row, setting)
    return world._replace(shown=release_as) if setting.omitted is Rule.TOLD_BEFORE_ACK else world


def mark_released(world: World, setting: Setting, release_as: str) -> Transition | None:
    if not (row := _guarded(world, MARK_RELEASED, setting)):
        return None
    column = Status(release_as) if setting.omitted is Rule.RELEASE_AS_BY_PARAMETER else row.release_as
    return _along(world, row._replace(intent=None), setting, RELEASED[column or Status(release_as)])


def mark_unreleasable(world: World, setting: Setting, asked_in: str) -> Transition | None:
    if not (row := _guarded(world, MARK_UNRELEASABLE, setting)) or asked_in not in {"", row.status}:
        return None
    row = row._replace(intent=None)
    if row.status is PROCESSING:
        return Transition(commit(world, row, setting))
    return _along(world, row, setting, Fact.DISPATCHED)


def finish(world: World, setting: Setting, fact: Fact, guard: Guard) -> Transition | None:
    row = world.row
    if row is None or (row.status, row.intent) not in guard:  # WEBHOOK_FROM_ANY_STATUS widens the guard itself
        return None
    facts = (Fact.DISPATCHED, fact) if row.status is PREVIEWED else (fact,)
    return _along(world, row._replace(intent=None), setting, *facts)


def _guarded(world: World, guard: Guard, setting: Setting) -> Row | None:
    row = world.row
    if row is None or (setting.omitted is not Rule.UNGUARDED_UPDATE and (row.status, row.intent) not in guard):
        return None
    return row


def _along(world: World, row: Row, setting: Setting, *facts: Fact) -> Transition:
    edges = []
    status = row.status
    for fact in facts:
        edges.append((status, fact))
        status = TARGET[fact]
    return Transition(commit(world, row._replace(status=status), setting), tuple(edges))
