"""Sizes and names of the package's files: long functions and empty names fail, long files are listed as advice."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING

import pytest

from .tracked import ROOT, python_files, text_of

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = ROOT / "src" / "autogrocery"
FILES = [path for path in python_files() if path.is_relative_to(SOURCE)]
EMPTY_WORDS = {"manager", "handler", "helper", "util", "utils", "common", "processor", "data", "info"}
MAX_FUNCTION_LINES = 60
LONG_FILE_LINES = 400


class LongFileWarning(UserWarning):
    """Advice: the file may hold more than one thing."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_have_at_most_60_lines(path: Path) -> None:
    for node in ast.walk(ast.parse(text_of(path) or "")):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.filterwarnings("always::tests.repository.test_size.LongFileWarning")
def test_files_over_400_lines_are_listed_as_a_warning() -> None:
    for path in FILES:
        lines = (text_of(path) or "").count("\n")
        if lines > LONG_FILE_LINES:
            name = path.relative_to(ROOT)
            warnings.warn(LongFileWarning(f"{name} has {lines} lines: does it hold two things?"), stacklevel=1)


def test_no_file_name_is_an_empty_word() -> None:
    assert [path for path in FILES if EMPTY_WORDS & set(path.stem.split("_"))] == []


def test_lock_files_name_no_registry() -> None:
    for path in ROOT.glob("requirements*.txt"):
        assert "://" not in path.read_text(encoding="utf-8"), path.name
