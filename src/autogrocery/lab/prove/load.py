"""The load while faults are injected: plans and think times of the customers, and a prober that only reads."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec.structs import replace

from autogrocery.client import Kiosk, Problem, RetryLimits, Unanswered
from autogrocery.client.token_source import TokenSource
from autogrocery.lab.prove.record import Probe

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
    *("abandon",) * 2,
    *("buy",) * 6,
)
RETRY_LIMITS: Final = RetryLimits(deadline_s=90.0, timeout_s=6.0)  # a gateway answers 503 after 5 s
MAX_THINK_TIME_S: Final = 2.8  # nearly as long as a quote is valid
MAX_DEVICES: Final = 60
PROBE_EVERY_S: Final = 0.1
PROBE_TIMEOUT_S: Final = 1.0  # for each of two connections
CONCURRENT_PROBES: Final = 64
METRICS_POLL_S: Final = 0.1
OK: Final = 200
PATH: Final = "/api/client/orders?limit=1"


def choose_plan(seed: int, number: int) -> Plan:
    """Return a customer's plan: of twenty, six confirm repeatedly, six cancel, two abandon the quote, six buy."""
    group, position = divmod(number, len(PLANS))
    plans = list(PLANS)
    random.Random(f"restless/{seed}/{group}").shuffle(plans)
    return plans[position]


def think_time_s(seed: int, number: int) -> float:
    """Return the seconds between preview and confirm, so that the two calls meet different faults."""
    return random.Random(f"thinking/{seed}/{number}").uniform(0.0, MAX_THINK_TIME_S)


def limit_devices(demand: Demand, devices: int = MAX_DEVICES) -> Demand:
    """Return the same baskets on at most `devices` devices, each of which costs two password hashes."""
    position = {
        household: number % devices
        for number, household in enumerate(dict.fromkeys(b.household for b in demand.baskets))
    }
    return replace(demand, baskets=[replace(basket, household=position[basket.household]) for basket in demand.baskets])


@asynccontextmanager
async def probe_network(network: Network, record: Record, run_name: str) -> AsyncIterator[None]:
    """While the block runs, send GETs as a device and as a balancer does, and watch the metrics file."""
    async with AsyncExitStack() as stack:
        # A new connection for each GET, so that the proxy chooses a gateway each time.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENT_PROBES * 4, force_close=True))
        )
        token_source = await _log_in_prober(session, network.public_url, f"prober-{run_name}")
        rotation = _GatewayRotation(network.gateway_urls, token_source)
        loops = [
            _every(PROBE_EVERY_S, lambda: _probe_as_device(session, network.public_url, token_source, record)),
            _every(PROBE_EVERY_S, lambda: _probe_as_balancer(session, rotation, record)),
            _watch_metrics(network.metrics_path, record),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def _log_in_prober(session: aiohttp.ClientSession, url: str, device_id: str) -> TokenSource:
    password = random.SystemRandom().randbytes(24).hex()
    async with Kiosk(url, device_id, password, session=session, retry_limits=RETRY_LIMITS) as kiosk:
        await kiosk.register()
    token_source = TokenSource(session, url, device_id, password, RETRY_LIMITS)
    await token_source.login()
    return token_source


async def _every(every_s: float, probe: Callable[[], object]) -> None:
    """Start a probe every `every_s` seconds, however long the earlier ones take."""
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            if len(running) < CONCURRENT_PROBES:
                task = asyncio.ensure_future(probe())  # type: ignore[call-overload]
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(every_s)
    finally:
        for task in running:
            task.cancel()


async def _probe_as_device(session: aiohttp.ClientSession, url: str, token_source: TokenSource, record: Record) -> None:
    """GET as a device does, with one retry."""
    with suppress(Problem, Unanswered):
        token = await token_source.token()
        began_s = record.now_s()
        statuses = [await _get(session, url, token)]
        if statuses != [OK]:
            statuses.append(await _get(session, url, token))
        if statuses[-1] == OK:
            record.succeed("GET")
        record.device_probes.append(
            Probe(began_s, record.now_s() - began_s, ok=statuses[-1] == OK, tries=len(statuses))
        )


class _GatewayRotation:
    """The gateways, round robin."""

    def __init__(self, urls: Mapping[str, str], token_source: TokenSource) -> None:
        self.token_source = token_source
        self._urls = list(urls.items())
        self._next = 0

    def next_order(self) -> list[tuple[str, str]]:
        """Return every gateway's name and address, starting with the next one in turn."""
        self._next = (self._next + 1) % len(self._urls)
        return [*self._urls[self._next :], *self._urls[: self._next]]


async def _probe_as_balancer(session: aiohttp.ClientSession, rotation: _GatewayRotation, record: Record) -> None:
    """GET as a balancer does: from one gateway, and from the other if the first breaks, times out or answers no 200."""
    with suppress(Problem, Unanswered):
        token = await rotation.token_source.token()
        began_s, answered, tries = record.now_s(), False, 0
        for name, url in rotation.next_order():
            tries += 1
            if answered := await _get(session, url, token) == OK:
                record.succeed(f"GET at {name}")
                break
        record.balancer_probes.append(Probe(began_s, record.now_s() - began_s, ok=answered, tries=tries))


async def _get(session: aiohttp.ClientSession, url: str, token: str) -> int | None:
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with session.get(url + PATH, headers=headers, timeout=timeout) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _watch_metrics(path: Path, record: Record) -> None:
    """Record each time analytics has written its status file."""
    last = 0.0
    while True:
        with suppress(OSError):
            written_at = os.stat(path).st_mtime  # noqa: PTH116 - it does not block
            if written_at != last:
                last = written_at
                record.succeed("metrics", record.now_s() - (time.time() - written_at))
        await asyncio.sleep(METRICS_POLL_S)
