"""The protocol of one order as a state machine: every step that may follow in a world."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Final
from uuid import UUID

from autogrocery.gateway.core.order import TERMINAL, Cause, Decision, Fact, Intent, Order, Status, on_cancel, on_confirm
from autogrocery.kit.errors import Conflict, Gone
from tests.proofs.model import row_transitions
from tests.proofs.model.inventory_model import YES, replies, spontaneous_steps
from tests.proofs.model.row_transitions import PREVIEWED, PROCESSING, Transition
from tests.proofs.model.world import IDLE, LIVE, Actor, Call, Register, Row, Rule, Setting, Step, Verb, Worker, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPORTS: Final = {Register.COMPLETED: Fact.PICKED, Register.FAILED: Fact.NOTHING_PICKED}
ANY: Final[row_transitions.Guard] = frozenset(product(Status, (None, *Intent)))
THEN: Final = datetime(2026, 1, 1, tzinfo=UTC)


def steps(world: World, setting: Setting) -> Iterator[Step]:
    """Return every possible next step."""
    for label, inventory in spontaneous_steps(world.inventory, setting.omitted):
        yield Step(Actor.SYSTEM, label, world._replace(inventory=inventory))
    yield from _webhooks(world, setting)
    yield from _network(world, setting)
    yield from _failures(world, setting)
    first, second = world.workers
    yield from _work(world, setting, first, second)
    if second != first:  # equal workers have equal steps
        yield from _work(world, setting, second, first)


def _webhooks(world: World, setting: Setting) -> Iterator[Step]:
    """Webhooks: early, on time, repeated, false; and the reconciler, for lost ones."""
    row = world.row
    if row is None:
        return
    fact = REPORTS.get(world.inventory.register)
    idle = (row.status, row.intent) == (PREVIEWED, None)
    if fact:
        guard = (
            row_transitions.FINISH_EVEN_IF_IDLE if idle else row_transitions.FINISH
        )  # an idle order: GetOrder confirms that it was assigned
        if moved := row_transitions.finish(world, setting, fact, _webhook_guard(guard, setting)):
            yield Step(Actor.OTHERS, f"webhook: {fact}", *moved)
        silent = (row.status, row.intent) == (PROCESSING, None) and setting.omitted is not Rule.NO_RECONCILER
        if silent and (moved := row_transitions.finish(world, setting, fact, row_transitions.FINISH)):
            yield Step(Actor.SYSTEM, f"reconciler: {fact}", *moved)
    elif world.inventory.register not in LIVE and (idle or row.status in TERMINAL):
        # A signed webhook is accepted while a dispatch may be under way; here GetOrder refutes it, or the guard
        # refuses.
        moved = row_transitions.finish(world, setting, Fact.PICKED, _webhook_guard(row_transitions.FINISH, setting))
        if moved:
            yield Step(Actor.OTHERS, "false webhook: picked", *moved)


def _webhook_guard(guard: row_transitions.Guard, setting: Setting) -> row_transitions.Guard:
    return ANY if setting.omitted is Rule.WEBHOOK_FROM_ANY_STATUS else guard


def _network(world: World, setting: Setting) -> Iterator[Step]:
    """Requests in flight arrive, arrive twice, or are lost."""
    for i, call in enumerate(world.in_flight):
        rest = world.in_flight[:i] + world.in_flight[i + 1 :]
        yield Step(Actor.FAULT, f"a delayed {call.verb} is lost", world._replace(in_flight=rest))
        for inventory, answer in replies(world.inventory, call, setting.omitted):
            label = f"a delayed {call.verb}{_of(call)} arrives: {answer}"
            yield Step(Actor.SYSTEM, label, world._replace(in_flight=rest, inventory=inventory))
            yield Step(Actor.FAULT, f"{label}, and will again", world._replace(inventory=inventory))


def _failures(world: World, setting: Setting) -> Iterator[Step]:
    if world.before:
        row = world.before[0]
        back = world._replace(row=row, shown=row and row.status, promised=False, before=None)
        yield Step(Actor.FAULT, "failover: the last commit is lost", back)
    if setting.omitted is Rule.REGISTER_FORGOTTEN:
        inventory = world.inventory._replace(register=Register.UNKNOWN, basket="")
        yield Step(Actor.FAULT, "inventory restarts and forgets", world._replace(inventory=inventory))


def _work(world: World, setting: Setting, worker: Worker, other: Worker) -> Iterator[Step]:
    """Steps of one of the two workers."""

    def advance(after: World, mine: Worker = IDLE) -> World:
        return after._replace(workers=(mine, other) if mine <= other else (other, mine))

    call = worker.call
    if not call:
        for actor, label, after, begun in _begin(world, setting):
            yield Step(actor, label, advance(after, Worker(begun) if begun else IDLE))
        return
    if not worker.answer:
        for inventory, answer in replies(world.inventory, call, setting.omitted):
            label = f"{call.verb}{_of(call)}: {answer}"
            yield Step(Actor.SYSTEM, label, advance(world._replace(inventory=inventory), Worker(call, answer)))
        if len(world.in_flight) < setting.in_flight:
            in_flight = tuple(sorted((*world.in_flight, call)))
            yield Step(
                Actor.FAULT,
                f"a copy of {call.verb} stays in flight",
                advance(world._replace(in_flight=in_flight), worker),
            )
        for label, moved in _in_doubt(world, setting, call):
            yield Step(Actor.FAULT, label, advance(moved.world), moved.edges)
    else:
        moved, more = _settle(world, setting, call, worker.answer)
        yield Step(Actor.SYSTEM, f"commit of {call.verb}: {worker.answer}", advance(moved.world, more), moved.edges)
    yield Step(Actor.FAULT, f"crash at {call.verb}", advance(world))


def _begin(world: World, setting: Setting) -> Iterator[tuple[Actor, str, World, Call | None]]:
    """What an idle worker may begin: a request of the device, or a run of a loop."""
    row = world.row
    if row is None or row.status is PREVIEWED:  # afterwards inventory's state is final and a preview changes nothing
        for basket in setting.baskets:
            yield Actor.OTHERS, f"preview {basket}", world, Call(Verb.RESERVE, basket)
    if row is None or (row.status in TERMINAL and row.intent is None):
        return
    yield from _confirm(world, setting, row)
    if _allows(on_cancel, row):
        yield from _start_release(
            world, setting, Actor.OTHERS, "cancel", Status.CANCELLED, Cause.CANCELLED, row_transitions.PROMISE_CANCEL
        )
    if row.intent is Intent.RELEASE and setting.omitted is not Rule.NO_SWEEPER:
        yield Actor.SYSTEM, "sweep", world, _release_call(row, setting)
    if row.intent is Intent.DISPATCH and setting.omitted is not Rule.NO_SWEEPER:
        yield from _start_release(
            world,
            setting,
            Actor.SYSTEM,
            "patience is over",
            Status.FAILED,
            Cause.NO_ROBOTS,
            row_transitions.PROMISE_RELEASE,
        )
    unasked = (
        row_transitions.PROMISE_RELEASE
        if setting.omitted is Rule.EXPIRY_IGNORES_PROMISE
        else row_transitions.PROMISE_RELEASE_IDLE
    )
    if setting.omitted is not Rule.NO_EXPIRER:
        yield from _start_release(world, setting, Actor.SYSTEM, "expire", Status.EXPIRED, Cause.HOLD_EXPIRED, unasked)
    yield from _start_release(
        world,
        setting,
        Actor.OTHERS,
        "supersede",
        Status.CANCELLED,
        Cause.SUPERSEDED,
        row_transitions.PROMISE_RELEASE_IDLE,
    )
    withdrawn = world.inventory.register is Register.RELEASED and row.release_as is Status.CANCELLED
    if withdrawn and (row.status, row.intent) == (PROCESSING, None):
        yield from _start_release(
            world, setting, Actor.SYSTEM, "reconcile", Status.CANCELLED, Cause.CANCELLED, row_transitions.PROMISE_CANCEL
        )


def _confirm(world: World, setting: Setting, row: Row) -> Iterator[tuple[Actor, str, World, Call | None]]:
    call = Call(Verb.ASSIGN, row.basket)
    if _allows(on_confirm, row, overdue=world.shown is Status.EXPIRED):
        swept = row.intent is Intent.DISPATCH and setting.omitted is not Rule.NO_SWEEPER
        if setting.omitted is Rule.COMMIT_PROCESSING_BEFORE_CALL:
            world = row_transitions.commit(world, row._replace(status=PROCESSING, intent=None), setting)
        yield Actor.SYSTEM if swept else Actor.OTHERS, "sweep" if swept else "confirm", world, call
    if setting.refusals_are_words and row.status is PREVIEWED:
        word = row.release_as if row.intent is Intent.RELEASE else None if row.intent else Status.EXPIRED
        if word in {Status.CANCELLED, Status.EXPIRED}:
            yield Actor.OTHERS, f"confirm is refused: {word}", world._replace(shown=word), None


def _start_release(
    world: World,
    setting: Setting,
    actor: Actor,
    label: str,
    release_as: Status,
    cause: Cause,
    guard: row_transitions.Guard,
) -> Iterator[tuple[Actor, str, World, Call | None]]:
    """Promise a release; the call follows."""
    after = row_transitions.promise_release(world, setting, release_as, cause, guard)
    if after and after.row:
        yield actor, label, after, _release_call(after.row, setting)


def _in_doubt(world: World, setting: Setting, call: Call) -> Iterator[tuple[str, Transition]]:
    """Return what follows a call without a clear reply: a confirm promises, and answers 202."""
    if call.verb is Verb.RELEASE and setting.omitted is Rule.RELEASE_INFERRED_FROM_ERROR:
        yield (
            "release in doubt, taken as done",
            row_transitions.mark_released(world, setting, call.release_as) or Transition(world),
        )
    if call.verb is not Verb.ASSIGN:
        return
    if setting.omitted is Rule.REFUSAL_INFERRED_FROM_ERROR:
        after = row_transitions.promise_release(
            world, setting, Status.FAILED, Cause.NO_ROBOTS, row_transitions.PROMISE_RELEASE
        )
        if after:
            yield "assign in doubt, answered no_robots", Transition(after._replace(shown=Status.FAILED))
    elif setting.omitted is Rule.PROMISE_NOT_WRITTEN:
        if world.row and (world.row.status, world.row.intent) in row_transitions.PROMISE_DISPATCH:
            yield "assign in doubt, answered 202", Transition(world._replace(promised=True))
    elif after := row_transitions.promise_dispatch(world, setting):
        yield "assign in doubt, promised and answered 202", Transition(after._replace(promised=True))


def _settle(world: World, setting: Setting, call: Call, answer: str) -> tuple[Transition, Worker]:
    """Commit a reply; returns the transition and what the worker does next."""
    same = Transition(world)
    match call.verb, answer == YES:
        case Verb.RESERVE, True if world.row is None:
            return Transition(row_transitions.commit(world, Row(PREVIEWED, call.basket), setting)), IDLE
        case Verb.ASSIGN, True:
            moved = row_transitions.mark_dispatched(world, setting)
            return (moved, IDLE) if moved else (same, _overtaken(world, setting))
        case Verb.ASSIGN, False:
            after = (
                row_transitions.promise_release(
                    world, setting, Status.FAILED, Cause.NO_ROBOTS, row_transitions.PROMISE_RELEASE
                )
                or world
            )
            return Transition(after), _overtaken(after, setting)
        case Verb.RELEASE, True:
            return row_transitions.mark_released(world, setting, call.release_as) or same, IDLE
        case Verb.RELEASE, False:
            return row_transitions.mark_unreleasable(world, setting, call.asked_in) or same, IDLE
    return same, IDLE


def _overtaken(world: World, setting: Setting) -> Worker:
    row = world.row
    return Worker(_release_call(row, setting)) if row and row.intent is Intent.RELEASE else IDLE


def _release_call(row: Row, setting: Setting) -> Call:
    return Call(
        Verb.RELEASE,
        reason="cancel" if row.cause is Cause.CANCELLED else "other",
        release_as=(row.release_as or "") if setting.omitted else "",  # read only if a rule is omitted
        asked_in=row.status if setting.fenced else "",
    )


def _of(call: Call) -> str:
    return "".join(f" {word}" for word in (call.basket, call.reason) if word)


@cache
def _decide(decide: Callable[[Order], Decision], row: Row, *, overdue: bool) -> Decision | None:
    order = Order(
        UUID(int=1), 1, row.status, 1, "USD", 0, 0, (), THEN, THEN, overdue, row.intent, row.release_as, row.cause
    )
    try:
        return decide(order)
    except (Conflict, Gone):
        return None


def _allows(decide: Callable[[Order], Decision], row: Row, *, overdue: bool = False) -> bool:
    """Whether the core decides to act on this row."""
    return _decide(decide, row, overdue=overdue) is Decision.ACT
