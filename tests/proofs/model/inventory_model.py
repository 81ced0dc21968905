"""Inventory in the model: the effect of each call, by the decision tables of the reference inventory."""

from __future__ import annotations

from functools import cache

from autogrocery.inventory.core.stock import (
    AssignDecision,
    RegisterEntry,
    ReleaseDecision,
    ReserveDecision,
    State,
    decide_assign,
    decide_release,
    decide_reserve,
)
from tests.proofs.model.world import Call, InventoryState, Register, Rule, Verb

YES, NO = "yes", "no"
Answers = tuple[tuple[InventoryState, str], ...]


@cache
def replies(inventory: InventoryState, call: Call, omitted: Rule | None) -> Answers:
    """Return every possible effect of a call with its reply: stock and robots may be available or not."""
    match call.verb:
        case Verb.RESERVE:
            return _reserve(inventory, call.basket, omitted)
        case Verb.ASSIGN:
            return _assign(inventory, call.basket, omitted)
        case Verb.RELEASE:
            return _release(inventory, omitted, cancel=call.reason == "cancel")


def _standing(inventory: InventoryState, *, alike: bool) -> RegisterEntry:
    """Return the order as the decision tables take it; an overdue hold that is not cleared behaves like LAPSED."""
    state = State.ASSIGNED if inventory.register is Register.STARTED else State(inventory.register)
    return RegisterEntry(state, live=inventory.register is Register.HELD, same_request=alike, same_grant=alike)


def _reserve(inventory: InventoryState, basket: str, omitted: Rule | None) -> Answers:
    held = inventory._replace(register=Register.HELD, basket=basket)
    if inventory.register is Register.UNKNOWN:
        return (held, YES), (inventory, NO)
    alike = inventory.basket == basket or omitted in {Rule.RESERVE_IGNORES_ITEMS, Rule.NO_ITEMS_COMPARED}
    match decide_reserve(_standing(inventory, alike=alike), allow_partial=False):
        case ReserveDecision.REFUSE_RELEASED | ReserveDecision.REFUSE_DIFFERENT:
            return ((inventory, NO),)
        case ReserveDecision.RENEW | ReserveDecision.REPEAT:
            return ((inventory, YES),)
        case ReserveDecision.HOLD_AGAIN | ReserveDecision.REPLACE_HOLD:
            return (held, YES), (inventory, NO)


def _assign(inventory: InventoryState, basket: str, omitted: Rule | None) -> Answers:
    sent = InventoryState(Register.ASSIGNED, basket, inventory.dispatches + 1, inventory.picking)
    if inventory.register is Register.UNKNOWN:
        return (sent, YES), (inventory, NO)
    alike = inventory.basket == basket or omitted in {Rule.ASSIGN_USES_THE_HOLD, Rule.NO_ITEMS_COMPARED}
    match decide_assign(_standing(inventory, alike=alike)):
        case AssignDecision.REFUSE_RELEASED | AssignDecision.REFUSE_DIFFERENT:
            return ((inventory, NO),)
        case AssignDecision.REPEAT:
            again = inventory._replace(dispatches=inventory.dispatches + (omitted is Rule.ASSIGN_NOT_IDEMPOTENT))
            return ((again, YES),)
        case AssignDecision.ALLOCATE:
            return (sent._replace(basket=inventory.basket), YES), (inventory, NO)
        case AssignDecision.REPLACE_HOLD:
            return (sent, YES), (inventory, NO)


def _release(inventory: InventoryState, omitted: Rule | None, *, cancel: bool) -> Answers:
    gone = Register.UNKNOWN if omitted is Rule.NO_TOMBSTONE else Register.RELEASED
    if inventory.register is Register.UNKNOWN:
        return ((inventory._replace(register=gone), YES),)
    started = inventory.register is Register.STARTED and omitted is not Rule.RELEASE_REVOKES_STARTED
    match decide_release(_standing(inventory, alike=True).state, cancel=cancel, started=started):
        case ReleaseDecision.ALREADY_ASSIGNED:
            return ((inventory, NO),)
        case _:
            return ((inventory._replace(register=gone), YES),)


def spontaneous_steps(inventory: InventoryState, omitted: Rule | None) -> tuple[tuple[str, InventoryState], ...]:
    """Return what inventory and its robots may do without a call."""
    match inventory.register:
        case Register.HELD:
            return (("the hold lapses", inventory._replace(register=Register.LAPSED)),)
        case Register.ASSIGNED:
            return (("a robot starts", inventory._replace(register=Register.STARTED, picking=True)),)
        case Register.STARTED:
            return (
                ("the robots are done", inventory._replace(register=Register.COMPLETED)),
                ("the robots found nothing", inventory._replace(register=Register.FAILED)),
            )
        case Register.RELEASED if inventory.dispatches and omitted is Rule.PICK_WITHOUT_START:
            return (("a robot starts unasked", inventory._replace(picking=True)),)
        case _:
            return ()
