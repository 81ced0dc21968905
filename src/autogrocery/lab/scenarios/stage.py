"""A floor with the devices of one run of scenarios."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec import Struct

from autogrocery.client import Patience
from autogrocery.client.badge import Badge
from autogrocery.client.problems import Problem
from autogrocery.client.wire import Call, ask
from autogrocery.lab.scenarios.doors import Device
from autogrocery.lab.scenarios.floor import Floor  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

ENROLLING_AT_ONCE: Final = 4  # each costs a gateway two bcrypt hashes
PATIENCE: Final = Patience(180.0)  # gateways hash at the lowest priority: on a busy machine it takes its time
CONNECTIONS: Final = 512
LEAST: Final = 2


class Stage(Struct, frozen=True):
    """The floor, as many devices as the largest scenario has orders, and a seeded generator for what is left to chance.

    One device for each order that lives at the same time: a device that holds several quotes would let go of some itself.
    """

    floor: Floor
    session: aiohttp.ClientSession
    devices: list[Device]
    rng: random.Random
    scale: float

    def of(self, full: int) -> int:
        """Return a round's size at this scale."""
        return scaled(full, self.scale)


def scaled(full: int, scale: float) -> int:
    """Return `full` at `scale`, and two at least."""
    return max(LEAST, round(full * scale))


@asynccontextmanager
async def open_stage(floor: Floor, devices: int, rng: random.Random, scale: float) -> AsyncIterator[Stage]:
    """Register and log in fresh devices, over all gateways. Raises Problem or Unanswered if one could not get that far."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        run, room = secrets.token_hex(6), asyncio.Semaphore(ENROLLING_AT_ONCE)

        async def enrol(number: int) -> Device:
            async with room:
                return await _enrol(session, floor, number, f"scenario-{run}-{number}")

        yield Stage(floor, session, await asyncio.gather(*map(enrol, range(devices))), rng, scale)


async def _enrol(session: aiohttp.ClientSession, floor: Floor, number: int, device_id: str) -> Device:
    """Register at one gateway and log in at the other: a device belongs to the network, not to a process."""
    urls, password = floor.public_urls, secrets.token_urlsafe(24)
    body = {"device_id": device_id, "password": password}
    try:
        await ask(session, urls[number % len(urls)], Call("POST", "/api/client/register", body), PATIENCE)
    except Problem as problem:
        if problem.code != "device_taken":  # else it was us: the name is fresh, an answer got lost; the login will tell
            raise
    badge = Badge(session, urls[(number + 1) % len(urls)], device_id, password, PATIENCE)
    await badge.login()
    return Device(session, urls, badge)
