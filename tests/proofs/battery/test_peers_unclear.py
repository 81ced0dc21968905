"""Every call of every step without a clear answer: in doubt is in doubt, never no, and the loops bring the order to its one end."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from autogrocery.gateway.store import orders
from tests.proofs.battery.stage import calm, settle
from tests.proofs.battery.states import MAKERS, word
from tests.proofs.battery.steps import said
from tests.proofs.battery.table import CELLS, cell_of, row_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.gateway_actions import House

NOT_OK: Final = [
    getattr(grpc.StatusCode, name)
    for name in (
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "UNKNOWN",
        "INTERNAL",
        "RESOURCE_EXHAUSTED",
        "CANCELLED",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "INVALID_ARGUMENT",
    )
]


def _abort(status: grpc.StatusCode, *, after_effect: bool) -> Callable[[House, str], None]:
    def trouble(house: House, call: str) -> None:
        if call == "Quote":
            house.prices.trouble = status
        else:
            house.shelf.trouble, house.shelf.after_effect = house.shelf.trouble | {call: status}, after_effect

    return trouble


def _bend(change: Callable[[Any], Any]) -> Callable[[House, str], None]:
    def trouble(house: House, call: str) -> None:
        if call == "Quote":
            house.prices.bend = change
        else:
            house.shelf.bend[call] = change

    return trouble


def _for_another(reply: Any) -> Any:
    reply.order_id = "00000000-0000-7000-8000-000000000000"
    return reply


def _empty(reply: Any) -> Any:
    return type(reply)()


def _only_the_name(reply: Any) -> Any:
    """Nothing but the order's id: a refusal without a reason, a result that is none."""
    return type(reply)(order_id=reply.order_id)


BENT: Final = {
    "for another order": _bend(_for_another),
    "empty message": _bend(_empty),
    "no result": _bend(_only_the_name),
}
ABORTED: Final = {
    f"{status.name} {'after' if after_effect else 'before'}": _abort(status, after_effect=after_effect)
    for after_effect in (False, True)
    for status in NOT_OK
}
TROUBLES: Final = BENT | ABORTED
CLEAR: Final = {("AssignRobots", "no result"), ("GetOrder", "no result")}  # success=false is no, state 0 is UNKNOWN
EVERY = bool(os.environ.get("BATTERY_EVERY"))


def _troubled() -> list[tuple[str, str, str, str]]:
    """Every call of every cell with its troubles: all of them if BATTERY_EVERY is set, else in turn one of each kind."""
    found = []
    statuses, bends = itertools.cycle(ABORTED), itertools.cycle(BENT)
    for step, state in CELLS:
        for call in cell_of(step, state).calls:
            some = [next(statuses), next(bends)]
            found += [(step, state, call, one) for one in (TROUBLES if EVERY else some) if (call, one) not in CLEAR]
    return found


def test_every_call_of_every_step_meets_every_kind_of_trouble() -> None:
    met = {(step, call, trouble in BENT) for step, _, call, trouble in _troubled()}
    assert met == {
        (step, call, bent) for step, state in CELLS for call in cell_of(step, state).calls for bent in (False, True)
    }
    assert {trouble for *_, trouble in _troubled()} == TROUBLES.keys()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("step", "state", "call", "trouble"), _troubled())
async def test_no_clear_answer_is_in_doubt(house: House, step: str, state: str, call: str, trouble: str) -> None:
    cell = cell_of(step, state)
    answer, becomes = cell.calls[call]
    order_id = await MAKERS[state](house)
    TROUBLES[trouble](house, call)
    for _ in range(2):
        assert await said(step, house, order_id) == answer
        assert word(await orders.get(house.db, order_id)) == row_after(state, becomes)
    calm(house)
    if step.startswith("preview"):
        assert await said(step, house, order_id) == cell.says
    await settle(house, order_id)
