"""The sd_notify protocol, heard by a real socket, spoken by a real process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SPEAK = "from autogrocery.kit.process.ready import notify; print(notify())"


def speak(**environ: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    spoken = subprocess.run(
        [sys.executable, "-c", SPEAK], env=inherited | environ, check=True, capture_output=True, text=True
    )
    return spoken.stdout.strip()


def hears(address: str, told: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ears:
        ears.bind(address)
        ears.settimeout(5)
        assert speak(NOTIFY_SOCKET=told) == "True"
        return ears.recv(100)


def test_it_speaks_to_a_path(tmp_path: Path) -> None:
    assert hears(str(tmp_path / "ears"), str(tmp_path / "ears")) == b"READY=1"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_it_speaks_to_an_abstract_name() -> None:
    name = f"ears-{os.getpid()}"
    assert hears(f"\0{name}", f"@{name}") == b"READY=1"


def test_nobody_asked() -> None:
    assert speak() == "False"


def test_nobody_listens(tmp_path: Path) -> None:
    assert speak(NOTIFY_SOCKET=str(tmp_path / "deaf")) == "False"
