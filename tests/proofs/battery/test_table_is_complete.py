"""The battery's tables cover every action that writes, every state and every row of the contract."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from autogrocery.gateway import actions
from autogrocery.notifier import actions as sending
from tests.proofs.battery.restock_table import ROWS as RESTOCK_ROWS
from tests.proofs.battery.restock_table import STATES as RESTOCK_MAKERS
from tests.proofs.battery.restock_table import STEPS as RESTOCK_STEPS
from tests.proofs.battery.states import STATES
from tests.proofs.battery.steps import STEPS
from tests.proofs.battery.table import (
    BEING_WITHDRAWN,
    CANCELLED,
    COMPLETED,
    IDLE,
    IN_DOUBT,
    OVERDUE,
    PICKING,
    RELEASING_CANCELLED,
    RELEASING_EXPIRED,
    RELEASING_FAILED,
    TABLE,
    cell_of,
)
from tests.proofs.battery.test_accounts_twice import ACCOUNT_CELLS

SENDERS = {"send_receipt", "send_alert"}  # test_receipts_twice.py, test_alerts_twice.py
WRITES = {
    "add",
    "run",
    "rehash",
    "change_password",
    "change_contact",
    "exchange",
    "remember",
    "finish",
    "flag",
    "send",
    "apply_fact",
}
WRITING_PREFIXES = ("promise_", "mark_", "claim_")
FILES: Final = {
    path.stem: path for package in (actions, sending) for path in Path(package.__path__[0]).glob("[!_]*.py")
}  # by the action's name
ACTIONS: Final = sorted(FILES)


def called(module: str) -> set[str]:
    """Return the names of all functions and methods that a module calls."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {one.attr if isinstance(one, ast.Attribute) else one.id for one in calls if not isinstance(one, ast.Call)}  # type: ignore[attr-defined]


def changes_something(module: str) -> bool:
    """Whether an action writes, or calls an action that does."""
    names = called(module)
    return (
        bool(names & WRITES)
        or any(name.startswith(WRITING_PREFIXES) for name in names)
        or any(changes_something(name) for name in names & set(ACTIONS) - {module})
    )


def test_every_action_that_changes_something_is_a_step() -> None:
    played = {module for step in STEPS.values() for module in step.modules.split()}
    played |= {module for _, modules in RESTOCK_STEPS.values() for module in modules.split()}
    played |= {step.partition(" ")[0] for step, _ in ACCOUNT_CELLS} | SENDERS
    assert {module for module in ACTIONS if changes_something(module)} == played


def test_every_step_has_a_cell_for_every_state() -> None:
    assert TABLE.keys() == STEPS.keys()
    for step, column in TABLE.items():
        assert column.keys() == STATES.keys(), step


def test_every_step_of_a_restock_has_a_cell_for_every_state() -> None:
    assert RESTOCK_ROWS.keys() == RESTOCK_STEPS.keys()
    for step, column in RESTOCK_ROWS.items():
        named = [state for states in column for state in states.split() if state != "*"]
        assert len(named) == len(set(named)), step
        assert "*" in column or sorted(named) == sorted(RESTOCK_MAKERS), step


# By state of the row, every answer of confirm and of cancel in docs/CONTRACT.md (confirm-and-cancel).
CONTRACT_ROWS: Final = {
    "PREVIEWED, in time": (
        IDLE,
        "200 PROCESSING, 202 in_doubt, 202 releasing, 409 no_robots",
        "200 CANCELLED, 202 releasing, 409 too_late_to_cancel",
    ),
    "PREVIEWED, in doubt": (
        IN_DOUBT,
        "202 in_doubt, 200 PROCESSING, 202 releasing, 409 no_robots",
        "200 CANCELLED, 202 releasing, 409 too_late_to_cancel",
    ),
    "PREVIEWED, past expires_at, idle": (OVERDUE, "410 hold_expired", "410 hold_expired"),
    "EXPIRED": ("expired", "410 hold_expired", "410 hold_expired"),
    "PREVIEWED, being released as CANCELLED": (RELEASING_CANCELLED, "409 order_cancelled", "202 releasing"),
    "PREVIEWED, being released as EXPIRED": (RELEASING_EXPIRED, "410 hold_expired", "202 releasing"),
    "PREVIEWED, being released as FAILED": (RELEASING_FAILED, "202 releasing", "202 releasing"),
    "PROCESSING, picking not started": (
        "processing processing_withdrawn",
        "200 PROCESSING",
        "200 CANCELLED, 202 releasing",
    ),
    "PROCESSING, started": (PICKING, "200 PROCESSING", "409 too_late_to_cancel, 202 releasing"),
    "PROCESSING, being released": (BEING_WITHDRAWN, "200 PROCESSING", "202 releasing"),
    "COMPLETED": (COMPLETED, "200 COMPLETED", "409 too_late_to_cancel"),
    "FAILED after a dispatch": ("failed_dispatched", "200 FAILED", "409 too_late_to_cancel"),
    "FAILED without a dispatch": ("failed", "409 no_robots", "409 too_late_to_cancel"),
    "CANCELLED": (CANCELLED, "409 order_cancelled", "200 CANCELLED"),
    "missing or another device's": ("nothing", "404 order_not_found", "404 order_not_found"),
}


@pytest.mark.parametrize("row", CONTRACT_ROWS)
def test_every_answer_of_confirm_and_cancel_is_in_the_contract(row: str) -> None:
    states, *columns = CONTRACT_ROWS[row]
    for allowed, steps in zip(columns, (("confirm", "confirm_refused"), ("cancel",)), strict=True):
        for step in steps:
            for state in states.split():
                cell = cell_of(step, state)
                unclear = {answer for answer, _ in cell.calls.values()}
                assert {cell.answer, cell.again} | unclear <= set(allowed.split(", ")), (step, state)


def test_every_state_is_in_a_row_of_the_contract() -> None:
    assert sorted(state for states, *_ in CONTRACT_ROWS.values() for state in states.split()) == sorted(STATES)
