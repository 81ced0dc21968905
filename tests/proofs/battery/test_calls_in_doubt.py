"""Every call of every step without a clear reply: it is in doubt, never a refusal, and the loops settle the order."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from autogrocery.gateway.store import orders
from tests.proofs.battery.environment import check_final_state, clear_faults
from tests.proofs.battery.states import STATES, row_state
from tests.proofs.battery.steps import answer_of
from tests.proofs.battery.table import CELLS, cell_of, row_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.gateway_actions import GatewayActions

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


def _abort(status: grpc.StatusCode, *, after_effect: bool) -> Callable[[GatewayActions, str], None]:
    def fault(gateway: GatewayActions, call: str) -> None:
        if call == "Quote":
            gateway.fake_pricing.abort_with = status
        else:
            gateway.fake_inventory.abort_with, gateway.fake_inventory.after_effect = (
                gateway.fake_inventory.abort_with | {call: status},
                after_effect,
            )

    return fault


def _rewrite(change: Callable[[Any], Any]) -> Callable[[GatewayActions, str], None]:
    def fault(gateway: GatewayActions, call: str) -> None:
        if call == "Quote":
            gateway.fake_pricing.rewrite_reply = change
        else:
            gateway.fake_inventory.rewrite_reply[call] = change

    return fault


def _for_another(reply: Any) -> Any:
    reply.order_id = "00000000-0000-7000-8000-000000000000"
    return reply


def _empty(reply: Any) -> Any:
    return type(reply)()


def _only_the_id(reply: Any) -> Any:
    """Keep only the order's id: a refusal without a reason, a result that is unset."""
    return type(reply)(order_id=reply.order_id)


REWRITTEN: Final = {
    "for another order": _rewrite(_for_another),
    "empty message": _rewrite(_empty),
    "no result": _rewrite(_only_the_id),
}
ABORTED: Final = {
    f"{status.name} {'after' if after_effect else 'before'}": _abort(status, after_effect=after_effect)
    for after_effect in (False, True)
    for status in NOT_OK
}
FAULTS: Final = REWRITTEN | ABORTED
CLEAR: Final = {
    ("AssignRobots", "no result"),
    ("GetOrder", "no result"),
}  # clear replies: success=false is a refusal, state 0 is UNKNOWN
EVERY = bool(os.environ.get("BATTERY_EVERY"))


def _cases() -> list[tuple[str, str, str, str]]:
    """Return every call of every cell with each fault if BATTERY_EVERY is set; else with one abort and one reply, taken
    in turn."""
    found = []
    statuses, rewrites = itertools.cycle(ABORTED), itertools.cycle(REWRITTEN)
    for step, state in CELLS:
        for call in cell_of(step, state).calls:
            some = [next(statuses), next(rewrites)]
            found += [(step, state, call, one) for one in (FAULTS if EVERY else some) if (call, one) not in CLEAR]
    return found


def test_every_call_of_every_step_is_tried_with_every_kind_of_fault() -> None:
    met = {(step, call, fault in REWRITTEN) for step, _, call, fault in _cases()}
    assert met == {
        (step, call, rewritten)
        for step, state in CELLS
        for call in cell_of(step, state).calls
        for rewritten in (False, True)
    }
    assert {fault for *_, fault in _cases()} == FAULTS.keys()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("step", "state", "call", "fault"), _cases())
async def test_a_call_without_a_clear_reply_is_in_doubt(
    gateway: GatewayActions, step: str, state: str, call: str, fault: str
) -> None:
    cell = cell_of(step, state)
    answer, becomes = cell.calls[call]
    order_id = await STATES[state](gateway)
    FAULTS[fault](gateway, call)
    for _ in range(2):
        assert await answer_of(step, gateway, order_id) == answer
        assert row_state(await orders.get(gateway.db, order_id)) == row_after(state, becomes)
    clear_faults(gateway)
    if step.startswith("preview"):
        assert await answer_of(step, gateway, order_id) == cell.answer
    await check_final_state(gateway, order_id)
