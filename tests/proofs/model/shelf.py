"""Inventory in the model: what each call does, by the decision tables that the real inventory runs on."""

from __future__ import annotations

from functools import cache

from autogrocery.inventory.core.stock import (
    OnAssign,
    OnRelease,
    OnReserve,
    Standing,
    State,
    on_assign,
    on_release,
    on_reserve,
)
from tests.proofs.model.world import Call, Drop, Register, Shelf, Verb

YES, NO = "yes", "no"
Answers = tuple[tuple[Shelf, str], ...]


@cache
def answers(shelf: Shelf, call: Call, drop: Drop | None) -> Answers:
    """Everything that inventory may make of a call, with its answer: stock and robots may be there or not."""
    match call.verb:
        case Verb.RESERVE:
            return _reserve(shelf, call.basket, drop)
        case Verb.ASSIGN:
            return _assign(shelf, call.basket, drop)
        case Verb.RELEASE:
            return _release(shelf, drop, cancel=call.reason == "cancel")


def _standing(shelf: Shelf, *, alike: bool) -> Standing:
    """The order as the tables see it. A hold that is overdue but not yet cleared does nothing that LAPSED does not."""
    state = State.ASSIGNED if shelf.register is Register.STARTED else State(shelf.register)
    return Standing(state, live=shelf.register is Register.HELD, requested_alike=alike, granted_alike=alike)


def _reserve(shelf: Shelf, basket: str, drop: Drop | None) -> Answers:
    held = shelf._replace(register=Register.HELD, basket=basket)
    if shelf.register is Register.UNKNOWN:
        return (held, YES), (shelf, NO)
    alike = shelf.basket == basket or drop in {Drop.RESERVE_IGNORES_ITEMS, Drop.NO_ITEMS_COMPARED}
    match on_reserve(_standing(shelf, alike=alike), allow_partial=False):
        case OnReserve.REFUSE_RELEASED | OnReserve.REFUSE_DIFFERENT:
            return ((shelf, NO),)
        case OnReserve.RENEW | OnReserve.REPEAT:
            return ((shelf, YES),)
        case OnReserve.RETAKE | OnReserve.TAKE_ANEW:
            return (held, YES), (shelf, NO)


def _assign(shelf: Shelf, basket: str, drop: Drop | None) -> Answers:
    sent = Shelf(Register.ASSIGNED, basket, shelf.dispatches + 1, shelf.picking)
    if shelf.register is Register.UNKNOWN:
        return (sent, YES), (shelf, NO)
    alike = shelf.basket == basket or drop in {Drop.ASSIGN_USES_THE_HOLD, Drop.NO_ITEMS_COMPARED}
    match on_assign(_standing(shelf, alike=alike)):
        case OnAssign.REFUSE_RELEASED | OnAssign.REFUSE_DIFFERENT:
            return ((shelf, NO),)
        case OnAssign.REPEAT:
            again = shelf._replace(dispatches=shelf.dispatches + (drop is Drop.ASSIGN_NOT_IDEMPOTENT))
            return ((again, YES),)
        case OnAssign.ALLOCATE:
            return (sent._replace(basket=shelf.basket), YES), (shelf, NO)
        case OnAssign.TAKE_ANEW:
            return (sent, YES), (shelf, NO)


def _release(shelf: Shelf, drop: Drop | None, *, cancel: bool) -> Answers:
    gone = Register.UNKNOWN if drop is Drop.NO_TOMBSTONE else Register.RELEASED
    if shelf.register is Register.UNKNOWN:
        return ((shelf._replace(register=gone), YES),)
    started = shelf.register is Register.STARTED and drop is not Drop.RELEASE_REVOKES_STARTED
    match on_release(_standing(shelf, alike=True).state, cancel=cancel, started=started):
        case OnRelease.ALREADY_ASSIGNED:
            return ((shelf, NO),)
        case _:
            return ((shelf._replace(register=gone), YES),)


def by_itself(shelf: Shelf, drop: Drop | None) -> tuple[tuple[str, Shelf], ...]:
    """What happens on the floor without anybody's call."""
    match shelf.register:
        case Register.HELD:
            return (("the hold lapses", shelf._replace(register=Register.LAPSED)),)
        case Register.ASSIGNED:
            return (("a robot starts", shelf._replace(register=Register.STARTED, picking=True)),)
        case Register.STARTED:
            return (
                ("the robots are done", shelf._replace(register=Register.COMPLETED)),
                ("the robots found nothing", shelf._replace(register=Register.FAILED)),
            )
        case Register.RELEASED if shelf.dispatches and drop is Drop.PICK_WITHOUT_START:
            return (("a robot starts unasked", shelf._replace(picking=True)),)
        case _:
            return ()
