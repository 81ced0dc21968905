from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.kit.rpc.server import serve, server_methods
from autogrocery.lab.ports import free_ports
from autogrocery.robots.app import main
from tests.harness.robot_inventory import FakeInventory, LoginServer
from tests.harness.waiting import until
from tests.harness.web_site import serving_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

STOP_WITHIN_S = 10.0


class RobotNetwork:
    """A fake inventory and a fake gateway on fixed ports, which can be stopped and started, and fleets on them."""

    def __init__(self, home: Path) -> None:
        self.login_server = LoginServer()
        self.fake_inventory = FakeInventory(self.login_server)
        self.inventory_port, self.gateway_port, self.bus_port = free_ports(3)
        self._home = home

    def inventory(self) -> AbstractAsyncContextManager[int]:
        methods = server_methods(wire.DESCRIPTOR.services_by_name["InventoryService"], self.fake_inventory)
        return serve("INVENTORY_GRPC_ADDR", "127.0.0.1", self.inventory_port, methods)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        async with serving_web(self.login_server.app(), self.gateway_port):
            yield

    @asynccontextmanager
    async def fleet(self, *robots: str, **settings: str) -> AsyncIterator[None]:
        """Run the robots role in this process; `robots` are named class-number."""
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

    async def reported(self, *names: str, timeout_s: float = 15.0) -> None:
        """Wait until these assignments have been reported; raises TimeoutError."""
        await until(lambda: all(self.fake_inventory.tasks[name].report for name in names), timeout_s)
