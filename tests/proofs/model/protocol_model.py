"""The protocol of one order as a machine: every step that anybody may take next, in any world."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Final
from uuid import UUID

from autogrocery.gateway.core.order import TERMINAL, Cause, Fact, Intent, Next, Order, Status, on_cancel, on_confirm
from autogrocery.kit.errors import Conflict, Gone
from tests.proofs.model import moves
from tests.proofs.model.moves import PREVIEWED, PROCESSING, Moved
from tests.proofs.model.shelf import YES, answers, by_itself
from tests.proofs.model.world import IDLE, LIVE, By, Call, Drop, Register, Row, Setting, Step, Verb, Worker, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPORTS: Final = {Register.COMPLETED: Fact.PICKED, Register.FAILED: Fact.NOTHING_PICKED}
ANY: Final[moves.Guard] = frozenset(product(Status, (None, *Intent)))
THEN: Final = datetime(2026, 1, 1, tzinfo=UTC)


def steps(world: World, setting: Setting) -> Iterator[Step]:
    """Every step that may be taken next."""
    for label, shelf in by_itself(world.shelf, setting.drop):
        yield Step(By.SYSTEM, label, world._replace(shelf=shelf))
    yield from _tell(world, setting)
    yield from _network(world, setting)
    yield from _disasters(world, setting)
    first, second = world.workers
    yield from _work(world, setting, first, second)
    if second != first:  # two alike do the same
        yield from _work(world, setting, second, first)


def _tell(world: World, setting: Setting) -> Iterator[Step]:
    """Webhooks: early, on time, again, false. And the reconciler, for those that got lost."""
    row = world.row
    if row is None:
        return
    fact = REPORTS.get(world.shelf.register)
    idle = (row.status, row.intent) == (PREVIEWED, None)
    if fact:
        guard = moves.FINISH_EVEN_IF_IDLE if idle else moves.FINISH  # idle: GetOrder says that it was assigned
        if moved := moves.finish(world, setting, fact, _webhook_guard(guard, setting)):
            yield Step(By.OTHERS, f"webhook: {fact}", *moved)
        silent = (row.status, row.intent) == (PROCESSING, None) and setting.drop is not Drop.NO_RECONCILER
        if silent and (moved := moves.finish(world, setting, fact, moves.FINISH)):
            yield Step(By.SYSTEM, f"reconciler: {fact}", *moved)
    elif world.shelf.register not in LIVE and (idle or row.status in TERMINAL):
        # What inventory signs is believed while a dispatch may be under way; here GetOrder says no, or the guard does.
        moved = moves.finish(world, setting, Fact.PICKED, _webhook_guard(moves.FINISH, setting))
        if moved:
            yield Step(By.OTHERS, "false webhook: picked", *moved)


def _webhook_guard(guard: moves.Guard, setting: Setting) -> moves.Guard:
    return ANY if setting.drop is Drop.WEBHOOK_FROM_ANY_STATUS else guard


def _network(world: World, setting: Setting) -> Iterator[Step]:
    """Late requests arrive, arrive twice, or never."""
    for i, call in enumerate(world.late):
        rest = world.late[:i] + world.late[i + 1 :]
        yield Step(By.FAULT, f"a late {call.verb} is lost", world._replace(late=rest))
        for shelf, answer in answers(world.shelf, call, setting.drop):
            label = f"a late {call.verb}{_of(call)} arrives: {answer}"
            yield Step(By.SYSTEM, label, world._replace(late=rest, shelf=shelf))
            yield Step(By.FAULT, f"{label}, and will again", world._replace(shelf=shelf))


def _disasters(world: World, setting: Setting) -> Iterator[Step]:
    if world.before:
        row = world.before[0]
        back = world._replace(row=row, told=row and row.status, promised=False, before=None)
        yield Step(By.FAULT, "failover: the last commit is lost", back)
    if setting.drop is Drop.REGISTER_FORGOTTEN:
        shelf = world.shelf._replace(register=Register.UNKNOWN, basket="")
        yield Step(By.FAULT, "inventory restarts and forgets", world._replace(shelf=shelf))


def _work(world: World, setting: Setting, worker: Worker, other: Worker) -> Iterator[Step]:
    """What one of the two workers may do next."""

    def after(then: World, mine: Worker = IDLE) -> World:
        return then._replace(workers=(mine, other) if mine <= other else (other, mine))

    call = worker.call
    if not call:
        for by, label, then, begun in _begin(world, setting):
            yield Step(by, label, after(then, Worker(begun) if begun else IDLE))
        return
    if not worker.answer:
        for shelf, answer in answers(world.shelf, call, setting.drop):
            label = f"{call.verb}{_of(call)}: {answer}"
            yield Step(By.SYSTEM, label, after(world._replace(shelf=shelf), Worker(call, answer)))
        if len(world.late) < setting.late:
            late = tuple(sorted((*world.late, call)))
            yield Step(By.FAULT, f"a copy of {call.verb} stays behind", after(world._replace(late=late), worker))
        for label, moved in _in_doubt(world, setting, call):
            yield Step(By.FAULT, label, after(moved.world), moved.edges)
    else:
        moved, more = _settle(world, setting, call, worker.answer)
        yield Step(By.SYSTEM, f"commit of {call.verb}: {worker.answer}", after(moved.world, more), moved.edges)
    yield Step(By.FAULT, f"crash at {call.verb}", after(world))


def _begin(world: World, setting: Setting) -> Iterator[tuple[By, str, World, Call | None]]:
    """What an idle worker may begin: a request of the device's, or a turn of a loop."""
    row = world.row
    if row is None or row.status is PREVIEWED:  # later, inventory's register is final and a preview changes nothing
        for basket in setting.baskets:
            yield By.OTHERS, f"preview {basket}", world, Call(Verb.RESERVE, basket)
    if row is None or (row.status in TERMINAL and row.intent is None):
        return
    yield from _confirm(world, setting, row)
    if _allows(on_cancel, row):
        yield from _let_go(world, setting, By.OTHERS, "cancel", Status.CANCELLED, Cause.CANCELLED, moves.PROMISE_CANCEL)
    if row.intent is Intent.RELEASE and setting.drop is not Drop.NO_SWEEPER:
        yield By.SYSTEM, "sweep", world, _release_call(row, setting)
    if row.intent is Intent.DISPATCH and setting.drop is not Drop.NO_SWEEPER:
        yield from _let_go(
            world, setting, By.SYSTEM, "patience is over", Status.FAILED, Cause.NO_ROBOTS, moves.PROMISE_RELEASE
        )
    unasked = moves.PROMISE_RELEASE if setting.drop is Drop.EXPIRY_IGNORES_PROMISE else moves.PROMISE_RELEASE_IDLE
    if setting.drop is not Drop.NO_EXPIRER:
        yield from _let_go(world, setting, By.SYSTEM, "expire", Status.EXPIRED, Cause.HOLD_EXPIRED, unasked)
    yield from _let_go(
        world, setting, By.OTHERS, "supersede", Status.CANCELLED, Cause.SUPERSEDED, moves.PROMISE_RELEASE_IDLE
    )
    withdrawn = world.shelf.register is Register.RELEASED and row.release_as is Status.CANCELLED
    if withdrawn and (row.status, row.intent) == (PROCESSING, None):
        yield from _let_go(
            world, setting, By.SYSTEM, "reconcile", Status.CANCELLED, Cause.CANCELLED, moves.PROMISE_CANCEL
        )


def _confirm(world: World, setting: Setting, row: Row) -> Iterator[tuple[By, str, World, Call | None]]:
    call = Call(Verb.ASSIGN, row.basket)
    if _allows(on_confirm, row, overdue=world.told is Status.EXPIRED):
        swept = row.intent is Intent.DISPATCH and setting.drop is not Drop.NO_SWEEPER
        if setting.drop is Drop.COMMIT_PROCESSING_BEFORE_CALL:
            world = moves.commit(world, row._replace(status=PROCESSING, intent=None), setting)
        yield By.SYSTEM if swept else By.OTHERS, "sweep" if swept else "confirm", world, call
    if setting.refusals_are_words and row.status is PREVIEWED:
        word = row.release_as if row.intent is Intent.RELEASE else None if row.intent else Status.EXPIRED
        if word in {Status.CANCELLED, Status.EXPIRED}:
            yield By.OTHERS, f"confirm is refused: {word}", world._replace(told=word), None


def _let_go(
    world: World, setting: Setting, by: By, label: str, release_as: Status, cause: Cause, guard: moves.Guard
) -> Iterator[tuple[By, str, World, Call | None]]:
    """Promise a release, and go on to make the call."""
    then = moves.promise_release(world, setting, release_as, cause, guard)
    if then and then.row:
        yield by, label, then, _release_call(then.row, setting)


def _in_doubt(world: World, setting: Setting, call: Call) -> Iterator[tuple[str, Moved]]:
    """No clear answer: a confirm promises, or gives its word for what it has not written."""
    if call.verb is Verb.RELEASE and setting.drop is Drop.RELEASE_INFERRED_FROM_ERROR:
        yield "release in doubt, taken for done", moves.mark_released(world, setting, call.release_as) or Moved(world)
    if call.verb is not Verb.ASSIGN:
        return
    if setting.drop is Drop.REFUSAL_INFERRED_FROM_ERROR:
        then = moves.promise_release(world, setting, Status.FAILED, Cause.NO_ROBOTS, moves.PROMISE_RELEASE)
        if then:
            yield "assign in doubt, told no_robots", Moved(then._replace(told=Status.FAILED))
    elif setting.drop is Drop.PROMISE_NOT_WRITTEN:
        if world.row and (world.row.status, world.row.intent) in moves.PROMISE_DISPATCH:
            yield "assign in doubt, answered 202", Moved(world._replace(promised=True))
    elif then := moves.promise_dispatch(world, setting):
        yield "assign in doubt, promised and answered 202", Moved(then._replace(promised=True))


def _settle(world: World, setting: Setting, call: Call, answer: str) -> tuple[Moved, Worker]:
    """Commit an answer; returns what the worker goes on with."""
    same = Moved(world)
    match call.verb, answer == YES:
        case Verb.RESERVE, True if world.row is None:
            return Moved(moves.commit(world, Row(PREVIEWED, call.basket), setting)), IDLE
        case Verb.ASSIGN, True:
            moved = moves.mark_dispatched(world, setting)
            return (moved, IDLE) if moved else (same, _overtaken(world, setting))
        case Verb.ASSIGN, False:
            then = moves.promise_release(world, setting, Status.FAILED, Cause.NO_ROBOTS, moves.PROMISE_RELEASE) or world
            return Moved(then), _overtaken(then, setting)
        case Verb.RELEASE, True:
            return moves.mark_released(world, setting, call.release_as) or same, IDLE
        case Verb.RELEASE, False:
            return moves.mark_unreleasable(world, setting, call.asked_in) or same, IDLE
    return same, IDLE


def _overtaken(world: World, setting: Setting) -> Worker:
    row = world.row
    return Worker(_release_call(row, setting)) if row and row.intent is Intent.RELEASE else IDLE


def _release_call(row: Row, setting: Setting) -> Call:
    return Call(
        Verb.RELEASE,
        reason="cancel" if row.cause is Cause.CANCELLED else "other",
        release_as=(row.release_as or "") if setting.drop else "",  # nobody looks at it, but for mutants
        asked_in=row.status if setting.fenced else "",
    )


def _of(call: Call) -> str:
    return "".join(f" {word}" for word in (call.basket, call.reason) if word)


@cache
def _decide(decide: Callable[[Order], Next], row: Row, *, overdue: bool) -> Next | None:
    order = Order(
        UUID(int=1), 1, row.status, 1, "USD", 0, 0, (), THEN, THEN, overdue, row.intent, row.release_as, row.cause
    )
    try:
        return decide(order)
    except (Conflict, Gone):
        return None


def _allows(decide: Callable[[Order], Next], row: Row, *, overdue: bool = False) -> bool:
    """Whether the core, asked about this row, says: act."""
    return _decide(decide, row, overdue=overdue) is Next.ACT
