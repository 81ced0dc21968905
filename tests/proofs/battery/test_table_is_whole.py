"""The table leaves nothing out: no action, no state, no row of the contract."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from autogrocery.gateway import actions
from tests.proofs.battery.restock_table import MAKERS as RESTOCK_MAKERS
from tests.proofs.battery.restock_table import ROWS as RESTOCK_ROWS
from tests.proofs.battery.restock_table import STEPS as RESTOCK_STEPS
from tests.proofs.battery.states import MAKERS
from tests.proofs.battery.steps import STEPS
from tests.proofs.battery.table import (
    BEGUN,
    CANCELLED,
    COMPLETED,
    DOUBTFUL,
    IDLE,
    OVERDUE,
    RELEASING_CANCELLED,
    RELEASING_EXPIRED,
    RELEASING_FAILED,
    TABLE,
    WITHDRAWING,
    cell_of,
)
from tests.proofs.battery.test_accounts_twice import ACCOUNT_CELLS

FOLDER = Path(actions.__path__[0])
LETTERS = {"send_receipt", "send_alert"}  # test_receipts_twice.py, test_alerts_twice.py
WRITES = {"add", "run", "rehash", "change_password", "exchange", "remember", "finish", "flag", "send", "move"}
WRITING_PREFIXES = ("promise_", "mark_", "claim_")
ACTIONS: Final = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def called(module: str) -> set[str]:
    """The names of all attributes and functions that a module calls."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {one.attr if isinstance(one, ast.Attribute) else one.id for one in calls if not isinstance(one, ast.Call)}  # type: ignore[attr-defined]


def changes_something(module: str) -> bool:
    """It writes, or calls an action that does."""
    names = called(module)
    return (
        bool(names & WRITES)
        or any(name.startswith(WRITING_PREFIXES) for name in names)
        or any(changes_something(name) for name in names & set(ACTIONS) - {module})
    )


def test_every_action_that_changes_something_is_a_step() -> None:
    played = {module for step in STEPS.values() for module in step.modules.split()}
    played |= {module for _, modules in RESTOCK_STEPS.values() for module in modules.split()}
    played |= {step.partition(" ")[0] for step, _ in ACCOUNT_CELLS} | LETTERS
    played = {"log_in" if name in {"refresh", "change_password"} else name for name in played}
    assert {module for module in ACTIONS if changes_something(module)} == played


def test_every_step_has_a_cell_for_every_state() -> None:
    assert TABLE.keys() == STEPS.keys()
    for step, column in TABLE.items():
        assert column.keys() == MAKERS.keys(), step


def test_every_step_of_a_restock_has_a_cell_for_every_state() -> None:
    assert RESTOCK_ROWS.keys() == RESTOCK_STEPS.keys()
    for step, column in RESTOCK_ROWS.items():
        named = [state for states in column for state in states.split() if state != "*"]
        assert len(named) == len(set(named)), step
        assert "*" in column or sorted(named) == sorted(RESTOCK_MAKERS), step


# CONTRACT §2.1: a row's states, and all that confirm and cancel may say there.
CONTRACT: Final = {
    "PREVIEWED, in time": (
        IDLE,
        "200 PROCESSING, 202 in_doubt, 202 releasing, 409 no_robots",
        "200 CANCELLED, 202 releasing, 409 too_late_to_cancel",
    ),
    "PREVIEWED, in doubt": (
        DOUBTFUL,
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
    "PROCESSING, started": (BEGUN, "200 PROCESSING", "409 too_late_to_cancel, 202 releasing"),
    "PROCESSING, being released": (WITHDRAWING, "200 PROCESSING", "202 releasing"),
    "COMPLETED": (COMPLETED, "200 COMPLETED", "409 too_late_to_cancel"),
    "FAILED after a dispatch": ("failed_dispatched", "200 FAILED", "409 too_late_to_cancel"),
    "FAILED without a dispatch": ("failed", "409 no_robots", "409 too_late_to_cancel"),
    "CANCELLED": (CANCELLED, "409 order_cancelled", "200 CANCELLED"),
    "missing or another device's": ("nothing", "404 order_not_found", "404 order_not_found"),
}


@pytest.mark.parametrize("row", CONTRACT)
def test_the_table_is_the_contracts(row: str) -> None:
    states, *columns = CONTRACT[row]
    for told, steps in zip(columns, (("confirm", "confirm_refused"), ("cancel",)), strict=True):
        for step in steps:
            for state in states.split():
                cell = cell_of(step, state)
                unclear = {answer for answer, _ in cell.calls.values()}
                assert {cell.says, cell.again} | unclear <= set(told.split(", ")), (step, state)


def test_every_state_is_in_a_row_of_the_contract() -> None:
    assert sorted(state for states, *_ in CONTRACT.values() for state in states.split()) == sorted(MAKERS)
