"""The fleet, one process: every robot of the credentials file, simulated as if each were its own machine."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from autogrocery.contracts import identities
from autogrocery.kit.process import loops, ready
from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.client import open_channel
from autogrocery.kit.security.curve import subscriber_keys
from autogrocery.kit.security.tls import identity_of
from autogrocery.robots import settings
from autogrocery.robots.actions.pick import World
from autogrocery.robots.core.robot import Robot
from autogrocery.robots.loops import fleet
from autogrocery.robots.peers.bus import open_announcements
from autogrocery.robots.peers.gateway import open_gateway
from autogrocery.robots.peers.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOGINS_AT_ONCE: Final = 4


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Work until `stop`; ready once the inventory knows a robot of each class of this fleet. Raises SettingsError, StartError."""
    wanted = settings.load(environ)
    robots = [Robot(account) for account in settings.accounts(wanted.robots_credentials_file)]
    classes = {robot.robot_class for robot in robots}
    links = {"INVENTORY_GRPC_TARGET": wanted.inventory, "GATEWAY_WEBHOOK_URL": wanted.gateway_webhook_url}
    identity = identity_of(wanted, identities.ROBOTS, links)
    keys = subscriber_keys(wanted, "ROBOTS_ZMQ_TARGET", ",".join(wanted.announcements))
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(wanted.gateway_webhook_url, identity))
        channel = await stack.enter_async_context(open_channel(wanted.inventory, identity, identities.INVENTORY))
        announcements = await stack.enter_async_context(open_announcements(wanted.announcements, classes, keys))
        world = World(
            gateway=gateway,
            inventory=Inventory(channel),
            doors=asyncio.Semaphore(LOGINS_AT_ONCE),
            luck=wanted.luck,
            speed=wanted.robots_speed,
        )
        log.info("fleet_started", robots=len(robots), classes=sorted(classes), speed=wanted.robots_speed)
        await stack.enter_async_context(loops.running(fleet(world, robots, announcements)))
        telling = asyncio.create_task(_tell_ready(robots))
        await stop.wait()
        telling.cancel()


async def _tell_ready(robots: Sequence[Robot]) -> None:
    for robot_class in sorted({robot.robot_class for robot in robots}):
        waits = [asyncio.create_task(robot.known.wait()) for robot in robots if robot.robot_class == robot_class]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
    log.info("fleet_ready")
    ready.notify()
