from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from tests.harness.places import open_place

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 90.0


class Network(Struct, frozen=True):
    """A network that runs: the environment of a terminal beside it, and its addresses."""

    environ: dict[str, str]
    public: str
    internal: str

    def placed(self, text: str) -> str:
        """Return the text with this run's addresses in place of the documented ones."""
        return text.replace("http://127.0.0.1:5050", self.public).replace("http://127.0.0.1:5051", self.internal)

    def run(self, script: str, *, deadline_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a script of a document as a person would, ended at its first failure."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.placed(script)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    with open_place() as home:
        yield from _running(home)


def _running(home: Path) -> Iterator[Network]:
    ears = home / "ears"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {
        **os.environ,
        "AUTOGROCERY_HOME": str(home / "mart"),
        "PATH": path,
        "BCRYPT_COST": "10",
        "COLUMNS": "200",
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(ears))
        ready.settimeout(DEADLINE_S)
        with (home / "up.log").open("wb") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", "autogrocery", "up", "--ports", "auto"],
                env={**environ, "NOTIFY_SOCKET": str(ears)},
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
