"""Proxies of the environment are for the web: a channel between roles, plain or TLS, connects without them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts import identities
from autogrocery.kit.rpc.server import serve
from tests.harness.tls_endpoints import identity

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.kit.security.tls import Identity

NO_PROXY_LISTENS = "http://127.0.0.1:1"
SCRIPT = """
import asyncio, pathlib, sys
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.security.tls import Identity

async def main(target, name, keys):
    files = [pathlib.Path(keys, file) for file in ("ca.crt", "gateway.crt", "gateway.key")] if keys else None
    async with open_channel(target, Identity(*files) if files else None, name) as channel:
        print(await channel.raw("/grpc.health.v1.Health/Check")(b"", timeout_s=10))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_channel_ignores_the_proxy_variables(keys: Path, variable: str, *, tls: bool) -> None:
    shown: Identity | None = identity(keys, "inventory") if tls else None
    async with serve("ADDR", "127.0.0.1", 0, {}, identity=shown) as port:
        called = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SCRIPT,
            f"localhost:{port}",
            identities.INVENTORY,
            str(keys) if tls else "",
            env={"PATH": os.environ["PATH"], variable: NO_PROXY_LISTENS},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await called.communicate()
    assert called.returncode == 0, complaint.decode()[-500:]
    assert printed.strip() == b"b'\\x08\\x01'"  # SERVING
