"""The whole chain: the gateway's publisher in one process, `autogrocery analytics` with its store in another."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.lab.ports import free_ports
from bench.metrics.publisher import PublishCommand, Published
from bench.metrics.record import Paced, Saturated, Sending
from bench.proc import cpu_s, rss_mib
from bench.processes import ROOT, open_module, read_line, write_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

READY_S: Final = 30.0
SETTLE_S: Final = 60.0
POLL_S: Final = 0.02
SLICE: Final = 5_000
CREDIT: Final = 60_000  # metrics under way at once: below both high-water marks, so that ZeroMQ drops none
SENDING_RATE: Final = 10_000.0
JOINED_S: Final = 1.0


class Chain(Struct):
    """A publisher's process, and analytics'."""

    publisher: asyncio.subprocess.Process
    analytics: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    url: str

    async def publish(self, count: int, rate: float = 0.0) -> Published:
        """Publish and wait for the answer."""
        return await publish(self.publisher, count, rate)

    async def figures(self) -> dict[str, Any]:
        """Return analytics' own figures."""
        async with self.session.get(f"{self.url}/status") as response:
            found: dict[str, Any] = await response.json()
            return found

    async def stored(self) -> int:
        """Return how many metrics analytics has received and written to its store."""
        figures = await self.figures()
        return int(figures["received"]) - int(figures["store"]["rows_behind"])

    async def wait_stored(self, count: int) -> int:
        """Wait until so many are stored, or SETTLE_S seconds; return how many are."""
        ends_at = time.monotonic() + SETTLE_S
        while True:
            found = await self.stored()
            if found >= count or time.monotonic() >= ends_at:
                return found
            await asyncio.sleep(POLL_S)


async def publish(process: asyncio.subprocess.Process, count: int, rate: float = 0.0) -> Published:
    """Have a publisher's process publish, and wait for its answer."""
    await write_line(process, msgspec.json.encode(PublishCommand(count, rate)))
    return msgspec.json.decode(await read_line(process, READY_S + count / (rate or 1e4)), type=Published)


@asynccontextmanager
async def open_chain() -> AsyncIterator[Chain]:
    """Run both processes; analytics' store is in a temporary directory, and no gateway answers its metrics log."""
    metrics_port, http_port = free_ports(2)
    address = f"tcp://127.0.0.1:{metrics_port}"
    home = tempfile.mkdtemp(prefix="agm-")
    environ = os.environ | {
        "AUTOGROCERY_HOME": home,
        "ANALYTICS_URL": "",
        "ANALYTICS_ZMQ_ADDR": address,
        "ANALYTICS_HTTP_ADDR": f"127.0.0.1:{http_port}",
        "GATEWAY_WEBHOOK_URL": "http://127.0.0.1:9",
    }
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        publisher = await stack.enter_async_context(open_module("bench.metrics.publisher", address))
        await read_line(publisher, READY_S)
        analytics = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "autogrocery", "analytics"),
            env=environ,
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        stack.push_async_callback(_end, analytics)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        chain = Chain(publisher, analytics, session, f"http://127.0.0.1:{http_port}")
        await _wait_joined(chain)
        yield chain


async def _wait_joined(chain: Chain) -> None:
    """Publish single metrics until analytics has received one."""
    async with asyncio.timeout(READY_S):
        while True:
            await chain.publish(1)
            await asyncio.sleep(0.2)
            try:
                if (await chain.figures())["received"]:
                    return
            except aiohttp.ClientConnectionError:
                continue


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()


async def measure_sending(subscribers: Sequence[int], seconds: float) -> list[Sending]:
    """Pack and send at a fixed rate to each number of subscribers."""
    found = []
    for count in subscribers:
        (port,) = free_ports(1)
        address = f"tcp://127.0.0.1:{port}"
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(open_module("bench.metrics.publisher", address))
            await read_line(publisher, READY_S)
            if count:
                readers = await stack.enter_async_context(open_module("bench.metrics.subscribers", address, str(count)))
                await read_line(readers, READY_S)
                await asyncio.sleep(JOINED_S)
            done = await publish(publisher, int(SENDING_RATE * seconds), SENDING_RATE)
            found.append(Sending(count, SENDING_RATE, done.cpu_s / done.sent * 1e6, done.dropped))
    return found


async def measure_paced(rates: Sequence[float], seconds: float) -> list[Paced]:
    """Send through the whole chain at each rate."""
    found = []
    for rate in rates:
        async with open_chain() as chain:
            before = await chain.stored()
            cpu = cpu_s(chain.analytics.pid)
            done = await chain.publish(int(rate * seconds), rate)
            stored = await chain.wait_stored(before + done.sent) - before
            spent = cpu_s(chain.analytics.pid) - cpu
            found.append(Paced(rate, done.cpu_s / done.took_s, spent / done.took_s, done.sent, stored, done.dropped))
    return found


async def measure_saturated(count: int) -> Saturated:
    """Send as fast as the store takes it: at most CREDIT metrics are under way, so that none is dropped."""
    async with open_chain() as chain:
        before = await chain.stored()
        cpu, began = cpu_s(chain.analytics.pid), time.perf_counter()
        sent, publisher_s, first_mib = 0, 0.0, 0.0
        while sent < count:
            await chain.wait_stored(before + sent - CREDIT + SLICE)
            done = await chain.publish(SLICE)
            sent, publisher_s = sent + done.sent, publisher_s + done.cpu_s
            if not first_mib and sent >= count / 10:
                first_mib = rss_mib(chain.analytics.pid)
        stored = await chain.wait_stored(before + sent) - before
        took_s, spent_s = time.perf_counter() - began, cpu_s(chain.analytics.pid) - cpu
        return Saturated(
            sent,
            stored,
            stored / took_s,
            publisher_s / sent * 1e6,
            spent_s / stored * 1e6,
            first_mib,
            rss_mib(chain.analytics.pid),
        )
