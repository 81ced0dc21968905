"""The sd_notify protocol, received on a real socket from a real process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "from autogrocery.kit.process.ready import notify; print(notify())"


def notify(**environ: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=inherited | environ, check=True, capture_output=True, text=True
    )
    return process.stdout.strip()


def received(address: str, notify_socket: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        assert notify(NOTIFY_SOCKET=notify_socket) == "True"
        return listener.recv(100)


def test_notify_sends_to_a_path(tmp_path: Path) -> None:
    assert received(str(tmp_path / "listener"), str(tmp_path / "listener")) == b"READY=1"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_notify_sends_to_an_abstract_name() -> None:
    name = f"listener-{os.getpid()}"
    assert received(f"\0{name}", f"@{name}") == b"READY=1"


def test_notify_without_the_variable_returns_false() -> None:
    assert notify() == "False"


def test_notify_without_a_listener_returns_false(tmp_path: Path) -> None:
    assert notify(NOTIFY_SOCKET=str(tmp_path / "absent")) == "False"
