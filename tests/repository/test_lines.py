"""The formatter decides everywhere: no line over 120 characters, and no comment that switches the formatter off."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .tracked import ROOT, python_files, text_of

RUFF = Path(sys.executable).parent / "ruff"
SWITCHED_OFF = re.compile(r"#\s*fmt:\s*(skip|off)\b")


def test_no_line_has_more_than_120_characters() -> None:
    """Ruff measures, so that a trailing `noqa` or `type: ignore` and a URL without a space do not count."""
    found = subprocess.run(
        [
            RUFF,
            "check",
            "--select",
            "E501",
            "--ignore-noqa",
            "--no-cache",
            "--output-format",
            "concise",
            "--quiet",
            ".",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_no_comment_switches_the_formatter_off() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files()
        for number, line in enumerate((text_of(path) or "").split("\n"), 1)
        if SWITCHED_OFF.search(line)
    ]
    assert not found, "\n".join(found)
