"""A process that has imported the gateway and forks one on request, which takes a tenth of a second.

Protocol: each line on stdin is a gateway's environment as JSON; the reply on stdout is its pid, and `-pid` when it has
ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys

from autogrocery.gateway import app  # noqa: F401 - imported before the fork, so that a start is cheap
from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.lab.faulty_role import run_faulty

REAP_EVERY_S = 0.02


def gateway(environ: dict[str, str]) -> int:
    die_with_us = dies_with_us(signal.SIGKILL)
    child = os.fork()
    if child:
        return child
    log = os.open(os.environ["GATEWAY_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    die_with_us()
    os._exit(run_faulty("gateway", environ))


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], REAP_EVERY_S)
        if readable:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                print(gateway(json.loads(line)), file=out)
        try:
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                print(-ended, file=out)
        except ChildProcessError:
            continue


if __name__ == "__main__":
    sys.exit(main())
