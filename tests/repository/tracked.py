"""Files of the repository: those that git tracks or would add, or all files below an unpacked source distribution."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
GENERATED: Final = ("src/autogrocery/contracts/*/v1/*.py", "src/autogrocery/contracts/*/ops/v1/*.py")
UNTRACKED: Final = frozenset({".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "out"})


@cache
def tracked() -> tuple[Path, ...]:
    """Return every file of the repository, absolute and sorted."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        found = [ROOT / name for name in names if not UNTRACKED & set(name.parts)]
    else:
        found = [ROOT / name for name in listed.split("\0") if name]
    return tuple(sorted(path for path in found if path.is_file()))


def python_files() -> list[Path]:
    """Return every Python file except those that `make gen` writes."""
    return [path for path in tracked() if path.suffix == ".py" and not is_generated(path)]


def is_generated(path: Path) -> bool:
    """Return whether `make gen` writes a file."""
    return any(path.relative_to(ROOT).match(pattern) for pattern in GENERATED)


def text_files() -> list[Path]:
    """Return every file that is UTF-8 text."""
    return [path for path in tracked() if text_of(path) is not None]


@cache
def text_of(path: Path) -> str | None:
    """Return the file's text, or None if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails, without git or outside a repository of this project."""
    if not (ROOT / ".git").exists():
        return None
    try:
        ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return ran.stdout if ran.returncode == 0 else None
