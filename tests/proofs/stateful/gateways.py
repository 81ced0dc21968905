"""Two gateways as processes of their own on one database; one serves, the other steps in when that one ends, well or badly."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.ports import free_ports
from tests.harness.running_gateway import environ

if TYPE_CHECKING:
    from pathlib import Path

START_S, STOP_S = 30.0, 20.0
OURS = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
# The gateway's own command, which ends with us. Not by `preexec_fn`: gRPC's threads here make a plain fork abort now and then.
PROGRAM = """
import ctypes, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
from autogrocery.__main__ import main
sys.argv[1:] = ["gateway"]
sys.exit(main())
"""


class Gateway(Struct):
    """One process and its doors."""

    process: subprocess.Popen[bytes]
    public: int
    internal: int

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._ready():
            assert self.process.poll() is None, "the gateway ended before it served"
            assert time.monotonic() < deadline, "the gateway does not serve"
            time.sleep(0.05)

    def _ready(self) -> bool:
        door = http.client.HTTPConnection("127.0.0.1", self.public, timeout=1.0)
        try:
            door.request("GET", "/readyz")
            return door.getresponse().status == 200
        except OSError:
            return False
        finally:
            door.close()


class Gateways:
    """The one that serves, and a spare that is up or on its way."""

    def __init__(self, dsn: str, target: str, folder: Path) -> None:
        self._dsn, self._target, self._folder = dsn, target, folder
        self.log = folder / "gateways.log"
        self._running: list[Gateway] = []
        self._start()
        self._start()

    @property
    def serving(self) -> Gateway:
        self._running[0].wait_until_ready()
        return self._running[0]

    def _start(self) -> None:
        public, internal = free_ports(2)
        variables = environ(
            self._dsn, self._target, public, internal, AUTOGROCERY_HOME=str(self._folder), DATABASE_POOL_SIZE="4"
        )
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                env=OURS | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running.append(Gateway(process, public, internal))

    def replace(self, number: signal.Signals) -> None:
        """End the serving gateway by a signal; the spare serves from now on, and a new spare is started."""
        ended = self._running.pop(0)
        ended.process.send_signal(number)
        code = ended.process.wait(STOP_S)
        assert code == (0 if number is signal.SIGTERM else -number)
        self._start()

    def errors(self) -> list[str]:
        """What the gateways have logged as an error: a bug of theirs, or a contradiction."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if '"level":"error"' in line or "Traceback" in line]

    def stop(self) -> None:
        for gateway in self._running:
            gateway.process.terminate()
        for gateway in self._running:
            try:
                gateway.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                gateway.process.kill()
                gateway.process.wait(STOP_S)
