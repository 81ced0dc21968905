"""A room that grows is rebuilt: no file over 300 lines, no function over 60."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "autogrocery"
FILES = [path for path in sorted(SOURCE.rglob("*.py")) if "v1" not in path.parts]
FORBIDDEN = {"manager", "handler", "helper", "util", "utils", "common", "processor", "data", "info"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_file_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} has {node.end_lineno - node.lineno + 1} lines"


def test_no_file_is_named_for_nothing() -> None:
    assert [path for path in FILES if FORBIDDEN & set(path.stem.split("_"))] == []


def test_lock_files_name_no_registry() -> None:
    for path in ROOT.glob("requirements*.txt"):
        assert "://" not in path.read_text(encoding="utf-8"), path.name
