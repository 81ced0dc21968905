from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 90.0


class Network(Struct, frozen=True):
    """A running network: the environment for commands beside it, and the addresses of the gateway's listeners."""

    environ: dict[str, str]
    public: str
    internal: str

    def with_addresses(self, text: str) -> str:
        """Return the text with the documented addresses replaced by those of this run."""
        return text.replace("http://127.0.0.1:5050", self.public).replace("http://127.0.0.1:5051", self.internal)

    def run(self, script: str, *, deadline_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a page's shell script against this network; it stops at the first command that fails."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.with_addresses(script)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    with temporary_home() as home:
        yield from _running(home)


def _running(home: Path) -> Iterator[Network]:
    ready_socket = home / "ready_socket"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {
        **os.environ,
        "AUTOGROCERY_HOME": str(home / "mart"),
        "PATH": path,
        "BCRYPT_COST": "10",
        "COLUMNS": "200",
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(ready_socket))
        ready.settimeout(DEADLINE_S)
        with (home / "up.log").open("wb") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", "autogrocery", "up", "--ports", "auto"],
                env={**environ, "NOTIFY_SOCKET": str(ready_socket)},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            assert b"READY=1" in ready.recv(4_096), (home / "up.log").read_text()
            facts = json.loads((home / "mart" / "run.json").read_text())
            yield Network(environ, facts["url_public"], facts["url_internal"])
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(20)
