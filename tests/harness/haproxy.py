"""HAProxy in front of two gateways, as docs/RUNBOOK.md#restarting-without-a-failed-request has it."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from msgspec import Struct

from autogrocery.lab.ports import free_ports
from tests.harness.debian import debian_program
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.harness.debian import Program

CHECK_MS = 100
CONFIGURATION = """
global
  maxconn 1000
  stats socket {socket} level admin
defaults
  mode http
  option redispatch
  retries 2
  retry-on conn-failure
  timeout connect 1s
  timeout client 20s
  timeout server 20s
  timeout check 1s
  default-server check inter {check_ms}ms fall 1 rise 1
frontend figures
  bind 127.0.0.1:{figures}
  stats enable
  stats uri /
"""
LISTENER = """
listen {name}
  bind 127.0.0.1:{port}
  balance roundrobin
  option httpchk GET /readyz
{servers}
"""


class Balancer(Struct, frozen=True):
    """A running HAProxy: its ports of the public and the internal listeners, and of its figures."""

    public: int
    internal: int
    figures: int
    socket: str

    async def drain(self, gateway: int) -> None:
        """Send nothing new to a gateway, by its number, until `ready`."""
        await self._set(gateway, "drain")

    async def ready(self, gateway: int) -> None:
        """Send requests to a gateway again when it passes its check."""
        await self._set(gateway, "ready")

    async def _set(self, gateway: int, state: str) -> None:
        for listener in ("public", "internal"):
            reader, writer = await asyncio.open_unix_connection(self.socket)
            writer.write(f"set server {listener}/gateway{gateway} state {state}\n".encode())
            assert not (await reader.read()).strip()
            writer.close()

    async def servers_up(self) -> int:
        """Return how many gateways it sends requests to, counted for both listeners."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.figures}/;csv") as response,
        ):
            names, *rows = [line.split(",") for line in (await response.text()).splitlines() if line]
        state, server = names.index("status"), names.index("svname")
        return sum(row[state] == "UP" and row[server].startswith("gateway") for row in rows)


@asynccontextmanager
async def balanced(directory: Path, public: Sequence[int], internal: Sequence[int]) -> AsyncIterator[Balancer]:
    """Run HAProxy before the listeners on these ports; yields it when it sends requests to all of them."""
    haproxy = debian_program("haproxy")
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        balancer = Balancer(*free_ports(3), f"{short}/admin")
        async with _running(haproxy, directory, balancer, public, internal):
            yield balancer


@asynccontextmanager
async def _running(
    haproxy: Program, directory: Path, balancer: Balancer, public: Sequence[int], internal: Sequence[int]
) -> AsyncIterator[None]:
    text = CONFIGURATION.format(figures=balancer.figures, check_ms=CHECK_MS, socket=balancer.socket)
    for name, port, ports in (("public", balancer.public, public), ("internal", balancer.internal, internal)):
        servers = "\n".join(f"  server gateway{number} 127.0.0.1:{at}" for number, at in enumerate(ports))
        text += LISTENER.format(name=name, port=port, servers=servers)
    file = directory / "haproxy.cfg"
    file.write_text(text)
    with (directory / "haproxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            haproxy.path, "-db", "-f", str(file), env=haproxy.environ, stdout=log, stderr=log
        )
    try:

        async def all_up() -> bool:
            assert process.returncode is None, (directory / "haproxy.log").read_text()
            try:
                return await balancer.servers_up() == len(public) + len(internal)
            except aiohttp.ClientConnectionError:
                return False

        await until(all_up)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
