"""The plain peers in Node, each a process: installed from npm, started, restarted, stopped."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.lab.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

HERE = Path(__file__).resolve().parent / "node"
PROTOS = HERE.parents[2] / "src"
INSTALL_S = 180.0
START_S = 20.0
STOP_S = 5.0
PASSED_ON = ("PATH", "HOME", "LANG")


class NodePeerError(Exception):
    """A peer can't be installed or started; the message is for the person who runs this."""


async def install() -> None:
    """Install the exact versions of package.json, unless they are there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NodePeerError("node and npm are needed (Debian: apt-get install nodejs npm)")
    if (HERE / "node_modules" / "@grpc" / "grpc-js").is_dir():
        return
    options = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
    process = await asyncio.create_subprocess_exec(
        "npm", "install", *options, cwd=HERE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(INSTALL_S):
            _, told = await process.communicate()
    except TimeoutError:
        process.kill()
        raise NodePeerError(f"npm install did not end within {INSTALL_S:g} s") from None
    if process.returncode != 0:
        raise NodePeerError(f"npm install failed: {told.decode(errors='replace')[-500:]}")


class NodePeer:
    """One process of peer.js."""

    def __init__(self, kind: str, log: Path, environ: Mapping[str, str]) -> None:
        self.kind = kind
        self.port = free_ports(1)[0]
        self.target = f"127.0.0.1:{self.port}"
        self._log = log
        self._environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(environ)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and return once it serves."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node",
                str(HERE / "peer.js"),
                self.kind,
                str(self.port),
                str(PROTOS),
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(START_S):
            while not await self._is_open():
                if self._process.returncode is not None:
                    raise NodePeerError(f"{self.kind} ended: {self._log.read_text(errors='replace')[-500:]}")
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it, orderly if it can; it writes its state first."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def restart(self) -> None:
        """Stop and start it."""
        await self.stop()
        await self.start()

    async def _is_open(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def open_node_peer(kind: str, home: Path, **environ: str) -> AsyncIterator[NodePeer]:
    """Run one peer; its state is kept in `home` from stop to start."""
    peer = NodePeer(kind, home / f"{kind}.log", {"STATE_FILE": str(home / f"{kind}.json"), **environ})
    await peer.start()
    try:
        yield peer
    finally:
        await peer.stop()
