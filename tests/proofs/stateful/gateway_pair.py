"""Two gateway processes on one database: one serves, the other is a started spare that replaces it when it ends.

Blocking, for the thread of the state machine: `tests.harness.gateway_process` needs an event loop.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.ports import free_ports
from tests.harness.running_gateway import environ
from tests.harness.waiting import block_until

if TYPE_CHECKING:
    from pathlib import Path

START_S, STOP_S = 30.0, 20.0
OURS = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
# The gateway's command, killed when this process ends. `preexec_fn` would fork, which aborts now and then beside gRPC's
# threads.
PROGRAM = """
import ctypes, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
from autogrocery.__main__ import main
sys.argv[1:] = ["gateway"]
sys.exit(main())
"""


class ChildGateway(Struct):
    """One process and the ports of its listeners."""

    process: subprocess.Popen[bytes]
    public: int
    internal: int

    def wait_until_ready(self) -> None:
        block_until(self._is_ready, START_S)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, "the gateway ended before it was ready"
        return self._ready()

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.public, timeout=1.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class GatewayPair:
    """The serving gateway and a spare that is started or starting."""

    def __init__(self, dsn: str, target: str, folder: Path) -> None:
        self._dsn, self._target, self._folder = dsn, target, folder
        self.log = folder / "gateways.log"
        self._running: list[ChildGateway] = []
        self._start()
        self._start()

    @property
    def serving(self) -> ChildGateway:
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
        self._running.append(ChildGateway(process, public, internal))

    def replace(self, number: signal.Signals) -> None:
        """End the serving gateway by a signal; the spare serves from then on, and a new spare is started."""
        ended = self._running.pop(0)
        ended.process.send_signal(number)
        code = ended.process.wait(STOP_S)
        assert code == (0 if number is signal.SIGTERM else -number)
        self._start()

    def errors(self) -> list[str]:
        """Return the errors in the gateways' log."""
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
