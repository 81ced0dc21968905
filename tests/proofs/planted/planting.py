"""Copy the product, plant a bug in the copy, and run tests against it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import autogrocery

if TYPE_CHECKING:
    from tests.proofs.planted.bugs import Bug

PACKAGE = Path(autogrocery.__file__).parent
ROOT = Path(__file__).parents[3]
TESTS_FAILED = 1  # pytest's exit code; 2 and more mean that it could not run the tests


def plant(bug: Bug, folder: Path) -> Path:
    """Copy the product into `folder` and plant the bug; returns the path to import the copy from."""
    copy = folder / "src" / "autogrocery"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in bug.edits:
        file = copy / edit.file
        text = file.read_text()
        assert text.count(edit.old) == 1, f"{edit.file} has changed: plant {bug.name!r} anew"
        file.write_text(text.replace(edit.old, edit.new))
    return copy.parent


def run(arguments: str, source: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run `python -m` something against the copy in `source`; raises TimeoutExpired."""
    return subprocess.run(
        [sys.executable, "-m", *shlex.split(arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def suite_of(tests: str) -> str:
    """Return the arguments that run some tests until the first fails."""
    return f"pytest -q -n 0 -x -p no:cacheprovider {tests}"
