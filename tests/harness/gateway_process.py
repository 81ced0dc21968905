"""A running gateway as a process of its own, with fake peers in this one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.lab.ports import free_ports
from tests.harness.fake_peers import serve_peers
from tests.harness.running_gateway import POLL_S, RunningGateway, connect, environ
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OURS = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}  # so that it imports this checkout
START_S = 40.0  # until a process serves on a loaded machine


class GatewayProcess(Struct):
    """A gateway process with its standard streams in files, and `gateway` to send it requests."""

    gateway: RunningGateway
    process: asyncio.subprocess.Process
    stdout: Path
    stderr: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return its log, one entry a line."""
        return [json.loads(line) for line in self.stderr.read_text().splitlines()]


def command(variables: dict[str, str], out: Any, err: Any, program: str = "") -> Any:
    """Start `autogrocery gateway`, or a program of Python, with these environment variables only."""
    return asyncio.create_subprocess_exec(
        sys.executable,
        *(("-c", program) if program else ("-m", "autogrocery", "gateway")),
        env=OURS | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )


@asynccontextmanager
async def start_gateway_process(
    dsn: str, directory: Path, *, program: str = "", **settings: str
) -> AsyncIterator[GatewayProcess]:
    """Start a gateway whose home and output are in `directory`; yields it when it is ready, kills it at the end."""
    ports = free_ports(2)
    out, err = directory / "out", directory / "err"
    async with serve_peers() as (inventory, pricing, target), connect(dsn, ports, inventory, pricing) as gateway:
        variables = environ(dsn, target, *ports, AUTOGROCERY_HOME=str(directory), **settings)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = await command(variables, stdout, stderr, program)
        started = GatewayProcess(gateway, process, out, err)
        try:
            await until(lambda: is_up(started), START_S, POLL_S)
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def is_up(started: GatewayProcess) -> bool:
    """Whether it is ready; fails with its log if it has ended."""
    assert started.process.returncode is None, started.stderr.read_text()
    return await started.gateway.is_ready()
