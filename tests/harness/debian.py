"""Debian's programs: installed, or unpacked as `make test` does (tools/debian_programs.sh); else tests are skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

UNPACKED: Final = Path(__file__).parents[2] / "out" / "debian"


class Program(Struct, frozen=True):
    """An executable, and the environment in which it finds its libraries."""

    path: str
    environ: dict[str, str]


def debian_program(name: str) -> Program:
    """Return a program of Debian by its name; skips the test if it is not here."""
    places = os.pathsep.join(
        [os.environ.get("PATH", ""), "/usr/sbin", *(str(UNPACKED / "usr" / at) for at in ("sbin", "bin"))]
    )
    path = shutil.which(name, path=places)
    if path is None:
        pytest.skip(f"Debian's {name} is not here (make test unpacks it where apt-get can download it)")
    libraries = os.pathsep.join(map(str, (UNPACKED / "usr" / "lib").glob("*-linux-gnu*")))
    return Program(path, {"LD_LIBRARY_PATH": libraries} if path.startswith(str(UNPACKED)) else {})
