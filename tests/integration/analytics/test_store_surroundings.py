"""The embedded engine opens where its library alone does not: the folder is gone, the time zone is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPENS = """
import asyncio, os, sys
from pathlib import Path
from tests.harness.fact_stores import batch, fact, fact_store

async def main():
    os.chdir(sys.argv[2])
    if sys.argv[3:]:
        os.rmdir(sys.argv[2])
    async with fact_store(Path(sys.argv[1])) as store:
        await store.write(batch([fact(1)]), 1)
    print(os.environ.get("TZ"))

asyncio.run(main())
"""
ROOT = Path(__file__).parents[3]


def opened_in(tmp_path: Path, zone: str | None, *gone: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "folder"
    folder.mkdir()
    environ = {name: value for name, value in os.environ.items() if name != "TZ"} | {"PYTHONPATH": str(ROOT)}
    environ |= {} if zone is None else {"TZ": zone}
    arguments = [sys.executable, "-c", OPENS, str(tmp_path / "store"), str(folder), *gone]
    return subprocess.run(arguments, env=environ, text=True, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("zone", ["Nowhere/Land", ":", "../../etc/passwd", "Europe/Berlin", None])
def test_store_opens_in_any_time_zone_and_leaves_it(tmp_path: Path, zone: str | None) -> None:
    opened = opened_in(tmp_path, zone)
    assert (opened.returncode, opened.stdout.strip()) == (0, str(zone)), opened.stderr


def test_store_opens_in_a_folder_that_is_gone(tmp_path: Path) -> None:
    opened = opened_in(tmp_path, None, "gone")
    assert opened.returncode == 0, opened.stderr
