"""The whole chain: the gateway's publisher in one process, the analytics role with its embedded store in another."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from msgspec import Struct

from autogrocery.lab.network.child import Child
from autogrocery.lab.network.roles import Role
from autogrocery.lab.ports import free_ports
from bench.metrics.publisher import open_publishing
from bench.proc import cpu_s, rss_mib
from bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bench.metrics.publisher import Publishing

READY_S: Final = 30.0
STOP_S: Final = 10.0
POLL_S: Final = 0.05
WINDOW: Final = 30_000  # metrics on their way at saturation: far fewer than ZeroMQ queues, so that none is dropped
CHUNK: Final = 5_000
WARM_UP: Final = 20_000
STORED_WITHIN_S: Final = 60.0


class Saturation(Struct, frozen=True):
    """The chain at its fastest: facts received, counted and stored, and the memory of the engine meanwhile.

    `growth`: resident memory at the end against that after the first quarter. `*_us`: CPU of one metric.
    """

    facts: int
    took_s: float
    facts_per_s: float
    publisher_us: float
    engine_us: float
    rss_mib: list[float]
    growth: float
    dropped: int


class Pace(Struct, frozen=True):
    """The chain at an even pace: shares of a core, of the publisher's process and of the engine's."""

    rate: float
    facts: int
    publisher_share: float
    engine_share: float


class RunningEngine:
    """The analytics role with a store, asked at its listener."""

    def __init__(self, child: Child, session: aiohttp.ClientSession, port: int) -> None:
        assert child.pid is not None
        self.pid = child.pid
        self._session = session
        self._url = f"http://127.0.0.1:{port}/status"

    async def figures(self) -> dict[str, Any]:
        """Return the figures of `/status`."""
        async with self._session.get(self._url) as response:
            found: dict[str, Any] = await response.json()
        return found

    async def received(self, facts: int, within_s: float = STORED_WITHIN_S) -> None:
        """Wait until that many were received and none of them waits to be stored. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while (figures := await self.figures())["received"] < facts or figures["store"]["rows_behind"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def open_engine(home: Path, addresses: str, log_url: str) -> AsyncIterator[RunningEngine]:
    """Run the analytics role, subscribed to publishers' addresses, with its store below `home`."""
    (port,) = free_ports(1)
    environ = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LD_LIBRARY_PATH"}},
        "PYTHONPATH": str(ROOT),
        "AUTOGROCERY_HOME": str(home),
        "ANALYTICS_ZMQ_ADDR": addresses,
        "ANALYTICS_HTTP_ADDR": f"127.0.0.1:{port}",
        "GATEWAY_WEBHOOK_URL": log_url,
    }
    role = Role(name="analytics", argv=(sys.executable, "-m", "autogrocery", "analytics"))
    child = Child(role, environ, home / "analytics.log", home)
    child.launch()
    try:
        async with asyncio.timeout(READY_S):
            while not child.ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_S)
        async with aiohttp.ClientSession() as session:
            yield RunningEngine(child, session, port)
    finally:
        await child.stop(STOP_S)


@asynccontextmanager
async def open_chain(home: Path) -> AsyncIterator[tuple[Publishing, RunningEngine]]:
    """Run a publisher and an engine that has joined it, warmed up with WARM_UP metrics.

    No gateway answers for the metrics log: whatever is counted has come through ZeroMQ.
    """
    port, no_log = free_ports(2)
    address = f"tcp://127.0.0.1:{port}"
    async with (
        open_publishing(address) as publishing,
        open_engine(home, address, f"http://127.0.0.1:{no_log}") as engine,
    ):
        while not (await engine.figures())["received"]:
            await publishing.send(1)
            await asyncio.sleep(POLL_S)
        before = await publishing.send(WARM_UP, float(WARM_UP))
        await engine.received(before.total)
        yield publishing, engine


async def measure_saturation(home: Path, seconds: float) -> Saturation:
    """Publish as fast as the engine takes it for some seconds, and wait until all of it is stored."""
    async with open_chain(home) as (publishing, engine):
        first = (await engine.figures())["received"]
        sent = received = dropped = 0
        publisher_s, began_cpu_s, began_s = 0.0, cpu_s(engine.pid), time.monotonic()
        memory: list[float] = []
        while time.monotonic() < began_s + seconds:
            figures = await engine.figures()
            received = figures["received"] - first
            memory.append(rss_mib(engine.pid))
            if sent - received + CHUNK > WINDOW:
                await asyncio.sleep(POLL_S / 5)
                continue
            one = await publishing.send(CHUNK)
            sent, dropped, publisher_s = sent + CHUNK, dropped + one.dropped, publisher_s + one.cpu_s
        await engine.received(first + sent)
        took_s = time.monotonic() - began_s
        engine_s = cpu_s(engine.pid) - began_cpu_s
    return Saturation(
        sent,
        round(took_s, 2),
        round(sent / took_s),
        round(publisher_s / sent * 1e6, 2),
        round(engine_s / sent * 1e6, 2),
        memory[:: max(1, len(memory) // 20)],
        round(max(memory) / memory[len(memory) // 4] - 1.0, 3),
        dropped,
    )


async def measure_pace(home: Path, rate: float, seconds: float) -> Pace:
    """Publish at an even pace."""
    async with open_chain(home) as (publishing, engine):
        began_cpu_s = cpu_s(engine.pid)
        sent = await publishing.send(round(rate * seconds), rate)
        await engine.received(sent.total)
        engine_s = cpu_s(engine.pid) - began_cpu_s
    return Pace(rate, sent.sent, round(sent.cpu_s / seconds, 4), round(engine_s / seconds, 4))
