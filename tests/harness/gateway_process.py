"""The gateway as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from msgspec import Struct

from autogrocery.kit.pg.db import open_db
from autogrocery.lab.ports import free_ports
from tests.harness.fake_peers import serve_peers
from tests.harness.running_gateway import PATIENCE_S, Shop, environ, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OURS = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}  # where this very code is
START_S = 40.0  # of a process that is loaded on a machine which has other things to do


class Role(Struct):
    """A gateway as a process of its own, its standard streams in files."""

    shop: Shop
    process: asyncio.subprocess.Process
    stdout: Path
    stderr: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.read_text().splitlines()]


def command(variables: dict[str, str], out: Any, err: Any) -> Any:
    return asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "autogrocery",
        "gateway",
        env=OURS | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=out,
        stderr=err,
    )


@asynccontextmanager
async def open_role(dsn: str, directory: Path, **settings: str) -> AsyncIterator[Role]:
    public, internal = free_ports(2)
    out, err = directory / "out", directory / "err"
    async with serve_peers() as (shelf, prices, target), open_db(dsn, application="tests") as db:
        variables = environ(dsn, target, public, internal, AUTOGROCERY_HOME=str(directory), **settings)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = await command(variables, stdout, stderr)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
            shop = Shop(f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}", db, shelf, prices, session)
            role = Role(shop, process, out, err)
            try:
                await until(lambda: is_up(role), START_S)
                yield role
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()


async def is_up(role: Role) -> bool:
    assert role.process.returncode is None, role.stderr.read_text()
    try:
        return (await role.shop.ask("GET", "/readyz")).status == 200
    except aiohttp.ClientConnectionError:
        return False
