"""The robots' process: it simulates every robot of the credentials file as if each were its own machine."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from autogrocery.contracts import identities
from autogrocery.kit.process import loops, ready
from autogrocery.kit.process.log import log
from autogrocery.kit.process.settings import grpc_target, web_url
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.security.curve import subscriber_keys
from autogrocery.kit.security.tls import identity_of
from autogrocery.robots import settings
from autogrocery.robots.core.robot import Robot
from autogrocery.robots.fleet import Fleet
from autogrocery.robots.loops import table
from autogrocery.robots.peers.bus import open_announcements
from autogrocery.robots.peers.gateway import open_gateway
from autogrocery.robots.peers.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CONCURRENT_LOGINS: Final = 4


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Run the fleet until `stop`; ready once inventory has acknowledged a heartbeat of a robot of each class.

    Raises SettingsError or StartError.
    """
    wanted = settings.load(environ)
    robots = [Robot(account) for account in settings.accounts(wanted.robots_credentials_file)]
    classes = {robot.robot_class for robot in robots}
    links = {
        "INVENTORY_GRPC_TARGET": grpc_target("INVENTORY_GRPC_TARGET", wanted.inventory),
        "GATEWAY_WEBHOOK_URL": web_url("GATEWAY_WEBHOOK_URL", wanted.gateway_webhook_url),
    }
    identity = identity_of(wanted, identities.ROBOTS, links)
    keys = subscriber_keys(wanted, "ROBOTS_ZMQ_TARGET", ",".join(wanted.announcements))
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(wanted.gateway_webhook_url, identity))
        channel = await stack.enter_async_context(
            open_channel(wanted.inventory, identity, identities.INVENTORY, transport=wanted.peer_transport)
        )
        announcements = await stack.enter_async_context(open_announcements(wanted.announcements, classes, keys))
        fleet = Fleet(
            gateway=gateway,
            inventory=Inventory(channel),
            login_slots=asyncio.Semaphore(MAX_CONCURRENT_LOGINS),
            fault_rates=wanted.fault_rates,
            speed=wanted.robots_speed,
        )
        log.info("fleet_started", robots=len(robots), classes=sorted(classes), speed=wanted.robots_speed)
        await stack.enter_async_context(loops.running(table(fleet, robots, announcements)))
        notifying = asyncio.create_task(_notify_ready(robots))
        await stop.wait()
        notifying.cancel()


async def _notify_ready(robots: Sequence[Robot]) -> None:
    for robot_class in sorted({robot.robot_class for robot in robots}):
        waits = [asyncio.create_task(robot.acknowledged.wait()) for robot in robots if robot.robot_class == robot_class]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
    log.info("fleet_ready")
    ready.notify()
