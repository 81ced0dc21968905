"""A process that has imported the gateway and forks one when asked: a start costs a tenth of a second, a death nothing.

Reads one JSON object a line, the environment of a gateway, and answers with its process id; tells `-pid` when it has ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys

from autogrocery.gateway import app
from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.process.run import run

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
    os._exit(run("gateway", app.main, environ))


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
