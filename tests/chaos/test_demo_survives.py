"""The whole network under real baskets, and each of its processes killed once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 100.0
VICTIMS = ("gateway", "inventory", "robots", "postgresql", "pricing", "analytics")


@pytest.fixture
def home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="agd-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def pids(home: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((home / "run.json").read_text())["pids"]
    except (OSError, ValueError, KeyError):
        return {}
    return found


def wait_for(condition: object, what: str) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends_at, what
        time.sleep(0.05)


@pytest.mark.timeout(150)
def test_a_demo_in_which_every_process_is_killed_once_ends_clean(home: Path) -> None:
    figures = home / "figures.json"
    log = (home / "out").open("w+")
    demo = subprocess.Popen(
        [sys.executable, "-m", "autogrocery", "demo", "--orders", "120", "--rate", "8", "--json", str(figures)],
        env={**os.environ, "AUTOGROCERY_HOME": str(home / "home")}, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_for(lambda: "orders" in (home / "out").read_text().partition("network on")[2], "the replay begins")
        for victim in VICTIMS:
            before = pids(home / "home")[victim]
            os.kill(before, signal.SIGKILL)
            wait_for(lambda: pids(home / "home").get(victim) not in (None, before), f"{victim} is back")  # noqa: B023
        code = demo.wait(DEADLINE_S)
    finally:
        demo.kill()
        demo.wait()
        log.close()
    assert code == 0, (home / "out").read_text()[-4_000:]
    told = json.loads(figures.read_text())
    assert sum(told["outcomes"].values()) == 120
    assert set(told["outcomes"]) <= {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}
    assert pids(home / "home") == {}
