"""Explore every reachable world: none violates an invariant, and from each the system alone reaches a settled one."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import TERMINAL, Fact, Status
from tests.proofs.model.protocol_model import steps
from tests.proofs.model.row_transitions import future
from tests.proofs.model.world import IDLE, LIVE, Actor, Register, Setting, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Explored(Struct):
    """The result: how many worlds, which edges the status took, and the first violation with the steps to it."""

    worlds: int
    edges: set[tuple[Status, Fact]]
    violation: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            (f"{self.violation or 'no violation'} ({self.worlds} worlds)", *(f"  {step}" for step in self.trace))
        )


def explore(setting: Setting) -> Explored:
    """Explore breadth first, so that a counterexample is a shortest one."""
    start = World()
    origins: dict[World, tuple[World, str] | None] = {start: None}
    system_predecessors: dict[World, list[World]] = defaultdict(list)
    edges: set[tuple[Status, Fact]] = set()
    todo = deque([start])
    while todo:
        world = todo.popleft()
        for step in steps(world, setting):
            after = step.world
            if after == world:
                continue
            edges.update(step.edges)
            if step.actor is Actor.SYSTEM:
                system_predecessors[after].append(world)
            if after not in origins:
                origins[after] = (world, step.label)
                if found := violation(after, setting):
                    return Explored(len(origins), edges, found, _trace(origins, after))
                todo.append(after)
    recoverable = _reaching(filter(is_settled, origins), system_predecessors)
    stuck = next((world for world in origins if world not in recoverable), None)
    if stuck is not None:
        return Explored(len(origins), edges, f"stuck for ever: {_describe(stuck)}", _trace(origins, stuck))
    return Explored(len(origins), edges)


def violation(world: World, setting: Setting) -> str | None:
    """Return an invariant of docs/PROTOCOL.md that this world violates, or None."""
    return next(_violations(world, setting), None)


def _violations(world: World, setting: Setting) -> Iterator[str]:
    row, inventory = world.row, world.inventory
    if inventory.dispatches > 1:
        yield "a second dispatch"
    if row is None:
        return
    living = (
        row.status is Status.PREVIEWED or row.intent
    )  # a terminal status that was returned too early is not wrong yet
    if row.status not in future(world.shown) and not (living and world.shown in TERMINAL):
        yield f"the device saw {world.shown}, and now it is {row.status}"
    if world.promised and row.status is Status.EXPIRED:
        yield "a promised dispatch expired"
    dispatched = (row.status, row.intent) == (Status.PROCESSING, None)
    if dispatched and inventory.register not in LIVE and not _is_known_limit(world, setting):
        yield f"PROCESSING, but no robots have it: {inventory.register}"
    if row.status is Status.COMPLETED and inventory.register is not Register.COMPLETED:
        yield f"COMPLETED, but to inventory it is {inventory.register}"
    released = {Status.CANCELLED, Status.EXPIRED} | (
        {Status.FAILED} if inventory.register is not Register.FAILED else set()
    )
    if row.status in released and (inventory.register in LIVE or inventory.picking):
        yield f"{row.status}, but robots have it: {inventory.register}"
    if row.status in TERMINAL and row.intent is None and inventory.register is Register.HELD:
        yield f"{row.status}, nothing owed, and the stock still held"
    if inventory.register in LIVE and inventory.basket != row.basket:
        yield f"basket {row.basket} was quoted, robots pick {inventory.basket}"


def _is_known_limit(world: World, setting: Setting) -> bool:
    """Whether PROCESSING without robots is a known limit.

    A failover may restore a PROCESSING row whose robots a lost cancel has withdrawn. Without the fence, a stale reply
    may set a cancelled order back to PROCESSING; the row keeps the cancel, and the reconciler ends it.
    """
    withdrawn = world.inventory.register is Register.RELEASED and world.row and world.row.release_as is Status.CANCELLED
    return world.before is None or bool(withdrawn and not setting.strict)


def is_settled(world: World) -> bool:
    """Whether no call is under way and nothing is owed; `violation` checks the rest."""
    row, register = world.row, world.inventory.register
    if world.workers != (IDLE, IDLE) or world.in_flight:
        return False
    failed_over = world.before is None
    if row is None:  # nothing was promised, or the database lost a dispatched order: an orphan_dispatch
        return register is not Register.HELD and (failed_over or register not in LIVE)
    if (
        row.status is Status.PROCESSING and register is Register.RELEASED
    ):  # the failover lost the cancel: `attention` is set
        return failed_over and row.intent is None and row.release_as is not Status.CANCELLED
    return row.status in TERMINAL and row.intent is None


def _reaching(ends: Iterable[World], predecessors: Mapping[World, list[World]]) -> set[World]:
    """Return every world from which one of the ends can be reached."""
    recoverable = set(ends)
    todo = list(recoverable)
    while todo:
        for world in predecessors.get(todo.pop(), ()):
            if world not in recoverable:
                recoverable.add(world)
                todo.append(world)
    return recoverable


def _trace(origins: Mapping[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    trace = [_describe(world)]
    while origin := origins[world]:
        world, label = origin
        trace.append(label)
    return tuple(reversed(trace))


def _describe(world: World) -> str:
    row = world.row
    seen = f"row {row.status}/{row.intent}/{row.release_as}" if row else "no row"
    return f"{seen}, the device saw {world.shown}, inventory {world.inventory.register}"
