"""Walk through every reachable world: no harm in any, and from each the system alone finds a good end."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import TERMINAL, Fact, Status
from tests.proofs.model.moves import future
from tests.proofs.model.protocol_model import steps
from tests.proofs.model.world import IDLE, LIVE, By, Register, Setting, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Explored(Struct):
    """What a walk found: how many worlds, along which edges the status moved, and the first harm with the way to it."""

    worlds: int
    edges: set[tuple[Status, Fact]]
    harm: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((f"{self.harm or 'no harm'} ({self.worlds} worlds)", *(f"  {step}" for step in self.trace)))


def explore(setting: Setting) -> Explored:
    """Breadth first, so that a counterexample is as short as any."""
    start = World()
    came: dict[World, tuple[World, str] | None] = {start: None}
    led_by_system: dict[World, list[World]] = defaultdict(list)
    edges: set[tuple[Status, Fact]] = set()
    todo = deque([start])
    while todo:
        world = todo.popleft()
        for step in steps(world, setting):
            then = step.world
            if then == world:
                continue
            edges.update(step.edges)
            if step.by is By.SYSTEM:
                led_by_system[then].append(world)
            if then not in came:
                came[then] = (world, step.label)
                if found := harm(then, setting):
                    return Explored(len(came), edges, found, _trace(came, then))
                todo.append(then)
    saved = _reaching(filter(good_end, came), led_by_system)
    stuck = next((world for world in came if world not in saved), None)
    if stuck is not None:
        return Explored(len(came), edges, f"stuck for ever: {_sight(stuck)}", _trace(came, stuck))
    return Explored(len(came), edges)


def harm(world: World, setting: Setting) -> str | None:
    """What is wrong here and must never be (PROTOCOL §5), or None."""
    return next(_harms(world, setting), None)


def _harms(world: World, setting: Setting) -> Iterator[str]:
    row, shelf = world.row, world.shelf
    if shelf.dispatches > 1:
        yield "a second dispatch"
    if row is None:
        return
    living = row.status is Status.PREVIEWED or row.intent  # a terminal word told too early is not yet wrong
    if row.status not in future(world.told) and not (living and world.told in TERMINAL):
        yield f"told {world.told}, and now {row.status}"
    if world.promised and row.status is Status.EXPIRED:
        yield "a promised dispatch expired"
    dispatched = (row.status, row.intent) == (Status.PROCESSING, None)
    if dispatched and shelf.register not in LIVE and not _known(world, setting):
        yield f"PROCESSING, but no robots have it: {shelf.register}"
    if row.status is Status.COMPLETED and shelf.register is not Register.COMPLETED:
        yield f"COMPLETED, but to inventory it is {shelf.register}"
    let_go = {Status.CANCELLED, Status.EXPIRED} | ({Status.FAILED} if shelf.register is not Register.FAILED else set())
    if row.status in let_go and (shelf.register in LIVE or shelf.picking):
        yield f"{row.status}, but robots have it: {shelf.register}"
    if row.status in TERMINAL and row.intent is None and shelf.register is Register.HELD:
        yield f"{row.status}, nothing owed, and the stock still held"
    if shelf.register in LIVE and shelf.basket != row.basket:
        yield f"basket {row.basket} was quoted, robots pick {shelf.basket}"


def _known(world: World, setting: Setting) -> bool:
    """A failover may bring back a PROCESSING whose robots a lost cancel has withdrawn. And without the fence a stale answer
    may put a cancelled order back to PROCESSING; the row remembers the cancel, and the reconciler ends it."""
    withdrawn = world.shelf.register is Register.RELEASED and world.row and world.row.release_as is Status.CANCELLED
    return world.before is None or bool(withdrawn and not setting.strict)


def good_end(world: World) -> bool:
    """Quiescent, and nothing left to do; harm() speaks for the rest."""
    row, register = world.row, world.shelf.register
    if world.workers != (IDLE, IDLE) or world.late:
        return False
    failed_over = world.before is None
    if row is None:  # nothing was promised; or the database lost an order that robots have: an orphan_dispatch
        return register is not Register.HELD and (failed_over or register not in LIVE)
    if row.status is Status.PROCESSING and register is Register.RELEASED:  # it lost the cancel: asks for attention
        return failed_over and row.intent is None and row.release_as is not Status.CANCELLED
    return row.status in TERMINAL and row.intent is None


def _reaching(ends: Iterable[World], led_by: Mapping[World, list[World]]) -> set[World]:
    """Every world from which one of the ends can be reached."""
    saved = set(ends)
    todo = list(saved)
    while todo:
        for world in led_by.get(todo.pop(), ()):
            if world not in saved:
                saved.add(world)
                todo.append(world)
    return saved


def _trace(came: Mapping[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    trace = [_sight(world)]
    while origin := came[world]:
        world, label = origin
        trace.append(label)
    return tuple(reversed(trace))


def _sight(world: World) -> str:
    row = world.row
    seen = f"row {row.status}/{row.intent}/{row.release_as}" if row else "no row"
    return f"{seen}, told {world.told}, inventory {world.shelf.register}"
