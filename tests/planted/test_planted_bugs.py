"""The checks are worth something: each catches a bug that was planted for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import autogrocery
from tests.planted.bugs import BUGS, Bug

PACKAGE = Path(autogrocery.__file__).parent
ROOT = Path(__file__).parents[2]
SUITE_TAKES_S = 110.0
TESTS_FAILED = 1  # pytest's exit code; 2 and more: it could not run them, which proves nothing


def plant(bug: Bug, folder: Path) -> Path:
    """Copy the product into `folder` and put the bug in; returns the path to import it from."""
    copy = folder / "src" / "autogrocery"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in bug.edits:
        file = copy / edit.file
        text = file.read_text()
        assert text.count(edit.old) == 1, f"{edit.file} has changed: plant {bug.name!r} anew"
        file.write_text(text.replace(edit.old, edit.new))
    return copy.parent


def run(tests: str, source: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-x", "-p", "no:cacheprovider", *shlex.split(tests)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SUITE_TAKES_S, check=False
    )


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    found = run(bug.quick, plant(bug, tmp_path))
    assert found.returncode == TESTS_FAILED, found.stdout[-3_000:] + found.stderr[-1_000:]


def test_the_copy_without_a_bug_passes(tmp_path: Path) -> None:
    found = run("tests/kit/test_http_wire.py -k hangs_up", plant(Bug("none", (), ""), tmp_path))
    assert found.returncode == 0, found.stdout[-3_000:] + found.stderr[-1_000:]
