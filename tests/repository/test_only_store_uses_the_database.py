"""Only `store` speaks to the database: no other module of a role holds SQL, runs a statement or opens a transaction."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from .tracked import ROOT, python_files, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = ("gateway", "notifier", "inventory", "pricing", "analytics")
SOURCE = ROOT / "src" / "autogrocery"
CALLS = frozenset({"rows", "row", "run", "run_batched", "transaction", "connection"})
DATABASES = frozenset({"db", "_db", "database", "tx", "connection", "statements"})
SQL = re.compile(
    r"(?:--[^\n]*\n|\s)*(?:SELECT\s|INSERT INTO\s|DELETE FROM\s|UPDATE\s+[\w.]+(?:\s+\w+)?\s+SET\s|"
    r"WITH\s+\w+[^\n]*\bAS\b|COPY\s|LOCK TABLE\s|CREATE\s|ALTER\s|DROP\s|TRUNCATE\s|SET LOCAL\s|NOTIFY\s|LISTEN\s)"
)


def receiver(call: ast.Call) -> str:
    """Return the last name of what the method is called on: `db` of `deps.db.row(…)`; empty if it has none."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    match call.func.value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def docstrings(tree: ast.Module) -> set[int]:
    """Return the ids of the constants that are docstrings: prose, which may begin with `Select`."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def database_use(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and kind of every SQL text and every database call of a module."""
    tree = ast.parse(source)
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            if SQL.match(node.value):
                yield node.lineno, "SQL"
        elif isinstance(node, ast.Call) and receiver(node) in DATABASES:
            assert isinstance(node.func, ast.Attribute)
            if node.func.attr in CALLS:
                yield node.lineno, f".{node.func.attr}()"


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ('Q = "-- orders.get\\nSELECT 1"', ["SQL"]),
        ('Q = """\\nUPDATE orders o SET x = 1"""', ["SQL"]),
        ('Q = "WITH found AS (SELECT 1)"', ["SQL"]),
        ("async def f(deps):\n    await deps.db.row(X)", [".row()"]),
        (
            "async def f(db):\n    async with db.transaction() as tx:\n        await tx.run(X)",
            [".transaction()", ".run()"],
        ),
        ('"""Select what is due; UPDATE is for store."""', []),
        ("async def f(loop):\n    await loop.run()", []),
        ("async def f(db):\n    await orders.get(db, 1)", []),
    ],
)
def test_database_use_is_recognised(source: str, kinds: list[str]) -> None:
    assert [kind for _, kind in database_use(source)] == kinds


def test_no_module_outside_store_uses_the_database() -> None:
    found = []
    for role in ROLES:
        files = [path for path in python_files() if path.is_relative_to(SOURCE / role)]
        assert any("store" in path.parts for path in files)
        outside = [path for path in files if not path.is_relative_to(SOURCE / role / "store")]
        for path in outside:
            uses = sorted(database_use(text_of(path) or ""))
            found += [f"{path.relative_to(SOURCE)}:{line}: {kind}" for line, kind in uses]
    assert not found, "\n".join(found)
