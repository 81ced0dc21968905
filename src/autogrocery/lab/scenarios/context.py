"""What a run of scenarios shares: the environment, registered devices, a seeded generator."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec import Struct

from autogrocery.client import RetryLimits
from autogrocery.client.problems import Problem
from autogrocery.client.token_source import TokenSource
from autogrocery.client.transport import Call, send
from autogrocery.lab.scenarios.device import Device
from autogrocery.lab.scenarios.environment import Environment  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

CONCURRENT_REGISTRATIONS: Final = 4  # each costs a gateway two bcrypt hashes
RETRY_LIMITS: Final = RetryLimits(180.0)  # gateways hash at the lowest priority, which takes long on a busy machine
CONNECTIONS: Final = 512
MIN_ROUND: Final = 2


class ScenarioContext(Struct, frozen=True):
    """The environment, as many devices as the largest scenario has orders, and a seeded generator for delays.

    Each order has a device of its own: a device that holds several quotes would have some of them released.
    """

    environment: Environment
    session: aiohttp.ClientSession
    devices: list[Device]
    rng: random.Random
    scale: float

    def of(self, full: int) -> int:
        """Return the size `full` of a round at this run's scale."""
        return scaled(full, self.scale)


def scaled(full: int, scale: float) -> int:
    """Return `full` times `scale`, at least MIN_ROUND."""
    return max(MIN_ROUND, round(full * scale))


@asynccontextmanager
async def open_context(
    environment: Environment, devices: int, rng: random.Random, scale: float
) -> AsyncIterator[ScenarioContext]:
    """Register and log in new devices, over all gateways. Raises Problem or Unanswered if one of them fails."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        run, slots = secrets.token_hex(6), asyncio.Semaphore(CONCURRENT_REGISTRATIONS)

        async def enrol(number: int) -> Device:
            async with slots:
                return await _enrol(session, environment, number, f"scenario-{run}-{number}")

        yield ScenarioContext(environment, session, await asyncio.gather(*map(enrol, range(devices))), rng, scale)


async def _enrol(session: aiohttp.ClientSession, environment: Environment, number: int, device_id: str) -> Device:
    """Register at one gateway and log in at the other: a device belongs to the network, not to a process."""
    urls, password = environment.public_urls, secrets.token_urlsafe(24)
    body = {"device_id": device_id, "password": password}
    try:
        await send(session, urls[number % len(urls)], Call("POST", "/api/client/register", body), RETRY_LIMITS)
    except Problem as problem:
        if problem.code != "device_taken":  # the name is new: an earlier attempt registered it, its answer was lost
            raise
    token_source = TokenSource(session, urls[(number + 1) % len(urls)], device_id, password, RETRY_LIMITS)
    await token_source.login()
    return Device(session, urls, token_source)
