"""Who uses the network while it is being broken: restless shoppers, and a prober that only looks."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec.structs import replace

from autogrocery.client import Kiosk, Patience, Problem, Unanswered
from autogrocery.client.badge import Badge
from autogrocery.lab.prove.record import Look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from autogrocery.lab.demand.demand import Demand
    from autogrocery.lab.prove.network import Network
    from autogrocery.lab.prove.record import Record
    from autogrocery.lab.replay.replay import Plan

PLANS: Final[tuple[Plan, ...]] = (
    *("confirm again",) * 6,
    *("cancel the preview",) * 3,
    *("cancel the order",) * 3,
    *("walk away",) * 2,
    *("buy",) * 6,
)
PATIENCE: Final = Patience(overall_s=90.0, attempt_s=6.0)  # a gateway gives up after 5 s and says so
MOST_THOUGHT_S: Final = 2.8  # nearly as long as the shortest quote
MOST_DEVICES: Final = 60
LOOK_EVERY_S: Final = 0.1
LOOK_WITHIN_S: Final = 1.0  # each of two connections
LOOKS_AT_ONCE: Final = 64
METRICS_EVERY_S: Final = 0.1
OK: Final = 200
PATH: Final = "/api/client/orders?limit=1"


def restless(seed: int, number: int) -> Plan:
    """Decide what a customer does: of twenty six press confirm again and again, six cancel, two walk away."""
    score, place = divmod(number, len(PLANS))
    plans = list(PLANS)
    random.Random(f"restless/{seed}/{score}").shuffle(plans)
    return plans[place]


def thinking(seed: int, number: int) -> float:
    """Say how many seconds a customer looks at the quote: so a confirm meets other weather than its preview did."""
    return random.Random(f"thinking/{seed}/{number}").uniform(0.0, MOST_THOUGHT_S)


def shared_out(demand: Demand, devices: int = MOST_DEVICES) -> Demand:
    """Return the same baskets, carried by no more than so many devices: each costs two password hashes."""
    place = {
        household: number % devices
        for number, household in enumerate(dict.fromkeys(b.household for b in demand.baskets))
    }
    return replace(demand, baskets=[replace(basket, household=place[basket.household]) for basket in demand.baskets])


@asynccontextmanager
async def probing(network: Network, record: Record, run_name: str) -> AsyncIterator[None]:
    """Look at the network all the time while the block runs: GETs as devices and as a balancer send them, and the metrics file."""
    async with AsyncExitStack() as stack:
        # A connection for each GET, so that the balancer in front chooses anew each time.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LOOKS_AT_ONCE * 4, force_close=True))
        )
        badge = await _badge(session, network.public_url, f"prober-{run_name}")
        doors = _Doors(network.gateway_urls, badge)
        loops = [
            _steadily(LOOK_EVERY_S, lambda: _look(session, network.public_url, badge, record)),
            _steadily(LOOK_EVERY_S, lambda: _balance(session, doors, record)),
            _watch_metrics(network.metrics_path, record),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _badge(session: aiohttp.ClientSession, url: str, device_id: str) -> Badge:
    password = random.SystemRandom().randbytes(24).hex()
    async with Kiosk(url, device_id, password, session=session, patience=PATIENCE) as kiosk:
        await kiosk.register()
    badge = Badge(session, url, device_id, password, PATIENCE)
    await badge.login()
    return badge


async def _steadily(every_s: float, look: Callable[[], object]) -> None:
    """Start a look every `every_s` seconds, however long the ones before take."""
    looking: set[asyncio.Task[None]] = set()
    try:
        while True:
            if len(looking) < LOOKS_AT_ONCE:
                task = asyncio.ensure_future(look())  # type: ignore[call-overload]
                looking.add(task)
                task.add_done_callback(looking.discard)
            await asyncio.sleep(every_s)
    finally:
        for task in looking:
            task.cancel()


async def _look(session: aiohttp.ClientSession, url: str, badge: Badge, record: Record) -> None:
    """GET as a device does that tries once more."""
    with suppress(Problem, Unanswered):
        token = await badge.token()
        began_s = record.now_s()
        statuses = [await _get(session, url, token)]
        if statuses != [OK]:
            statuses.append(await _get(session, url, token))
        if statuses[-1] == OK:
            record.succeed("GET")
        record.looks.append(Look(began_s, record.now_s() - began_s, ok=statuses[-1] == OK, tries=len(statuses)))


class _Doors:
    """The gateways in turn, each look beginning at another one."""

    def __init__(self, urls: Mapping[str, str], badge: Badge) -> None:
        self.badge = badge
        self._urls = list(urls.items())
        self._turn = 0

    def in_turn(self) -> list[tuple[str, str]]:
        """Return every gateway's name and address, the one whose turn it is first."""
        self._turn = (self._turn + 1) % len(self._urls)
        return [*self._urls[self._turn :], *self._urls[: self._turn]]


async def _balance(session: aiohttp.ClientSession, doors: _Doors, record: Record) -> None:
    """GET as a balancer sends it on: to one gateway, and to the other if the first breaks off, is silent or says 503."""
    with suppress(Problem, Unanswered):
        token = await doors.badge.token()
        began_s, answered, tries = record.now_s(), False, 0
        for name, url in doors.in_turn():
            tries += 1
            if answered := await _get(session, url, token) == OK:
                record.succeed(f"GET at {name}")
                break
        record.balanced.append(Look(began_s, record.now_s() - began_s, ok=answered, tries=tries))


async def _get(session: aiohttp.ClientSession, url: str, token: str) -> int | None:
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=LOOK_WITHIN_S)
    try:
        async with session.get(url + PATH, headers=headers, timeout=timeout) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _watch_metrics(path: Path, record: Record) -> None:
    """Note each time analytics has written down what it knows."""
    last = 0.0
    while True:
        with suppress(OSError):
            written_at = os.stat(path).st_mtime  # noqa: PTH116 - it waits for nothing
            if written_at != last:
                last = written_at
                record.succeed("metrics", record.now_s() - (time.time() - written_at))
        await asyncio.sleep(METRICS_EVERY_S)
