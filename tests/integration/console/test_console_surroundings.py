"""The console loads where NiceGUI alone does not: in a folder that is gone, on a machine without shared memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("nicegui", reason="the extra `console` is not installed")
IN_A_FOLDER_THAT_IS_GONE = """
import os, sys
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
import autogrocery.console.app
"""
WITHOUT_A_POOL = """
import multiprocessing.synchronize
def refuse(*_, **__): raise OSError(30, "Read-only file system")
multiprocessing.synchronize.SemLock.__init__ = refuse  # as without a writable /dev/shm
from autogrocery.console import app
from nicegui import run
app._application()
run.setup()
assert run.process_pool is None
"""


@pytest.mark.parametrize("program", [IN_A_FOLDER_THAT_IS_GONE, WITHOUT_A_POOL], ids=["folder gone", "no shared memory"])
def test_console_loads(program: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program, str(folder)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
