from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from autogrocery.kit.rpc.server import serve
from autogrocery.robots.app import main
from tests.harness.robot_floor import Door, Floor, OldFloor, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

STOP_WITHIN_S = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shop:
    """A floor and a door on fixed ports, which can be shut and opened, and fleets that work there."""

    def __init__(self, home: Path) -> None:
        self.door = Door()
        self.floor: OldFloor = Floor(self.door)
        self.inventory_port, self.gateway_port, self.bus_port = free_port(), free_port(), free_port()
        self._home = home

    def inventory(self) -> AbstractAsyncContextManager[int]:
        return serve("INVENTORY_GRPC_ADDR", "127.0.0.1", self.inventory_port, self.floor.add, ())

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        runner = web.AppRunner(self.door.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.gateway_port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def fleet(self, *robots: str, **settings: str) -> AsyncIterator[None]:
        """Run the robots' process; `robots` are named class-number."""
        file = self._home / "robots.json"
        file.touch(0o600)
        file.write_bytes(
            msgspec.json.encode(
                [
                    {"robot_id": name, "robot_class": name.split("-")[0], "password": f"password of {name}"}
                    for name in robots
                ]
            )
        )
        environ = {
            "ROBOTS_CREDENTIALS_FILE": str(file),
            "INVENTORY_GRPC_ADDR": f"127.0.0.1:{self.inventory_port}",
            "ROBOTS_ZMQ_ADDR": f"tcp://127.0.0.1:{self.bus_port}",
            "GATEWAY_WEBHOOK_URL": f"http://127.0.0.1:{self.gateway_port}",
            "ROBOTS_SPEED": "10000",
            "ROBOTS_SHORT_PERCENT": "0",
            "ROBOTS_CRASH_PERCENT": "0",
            "ROBOTS_DAMAGE_PERCENT": "0",
            "ROBOTS_MISSING_PERCENT": "0",
            "ROBOTS_SURPLUS_PERCENT": "0",
        }
        stop = asyncio.Event()
        running = asyncio.create_task(main({**environ, **settings}, stop))
        try:
            yield
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(running, STOP_WITHIN_S)

    async def reported(self, *names: str, deadline_s: float = 15.0) -> None:
        """Wait until these assignments are reported."""
        await until(lambda: all(self.floor.tasks[name].report for name in names), deadline_s)
