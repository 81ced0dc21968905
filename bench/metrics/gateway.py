"""A real gateway with subscribers that are many, slow, stopped or late: latency of a confirm, memory, gaps."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec
from msgspec import Struct

from autogrocery.lab.ports import free_ports
from bench.environment import open_environment, open_postgres
from bench.metrics.chain import open_engine
from bench.metrics.subscribers import open_subscribers
from bench.suite import Bench

if TYPE_CHECKING:
    from bench.environment import Environment
    from bench.measure import OnEvent

NOBODY: Final = "nobody"
RATE: Final = 120.0  # orders a second of an open loop: below half of what two shared cores can do
CONNECTIONS: Final = 64
LINES: Final = 3
STOPPED_S: Final = 30.0
SLOW_PER_S: Final = 20.0
MANY: Final = 16
FILLED_WITHIN_S: Final = 120.0
COUNT_CHANGES: Final = "SELECT (SELECT count(*) FROM order_history) + (SELECT count(*) FROM restock_history)"


class Audience(Struct, frozen=True, kw_only=True):
    """One run of the gateway. `grown_mib`: its resident memory after the run against before."""

    name: str
    orders: int
    confirm_p50_ms: float
    confirm_p99_ms: float
    grown_mib: float
    rss_mib: float
    missing_facts: int | None = None  # history rows that the engine does not have at the end; None: no engine


async def measure_audiences(seconds: float) -> list[Audience]:
    """Run the same load with each audience, NOBODY first and last."""
    (port,) = free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    with open_postgres() as server:
        async with open_environment(
            server, connections=CONNECTIONS, email=False, settings={"ANALYTICS_ZMQ_ADDR": address}
        ) as environment:
            bench = Bench(server, seconds, {}, _silent)
            await _run(bench, environment, "warm up")
            found = [await _run(bench, environment, NOBODY)]
            for name, count, slow_per_s, stopped in (
                ("1 subscriber", 1, 0.0, False),
                (f"{MANY} subscribers", MANY, 0.0, False),
                (f"one that reads {SLOW_PER_S:g} a second", 1, SLOW_PER_S, False),
                ("one that is stopped", 1, 0.0, True),
            ):
                async with open_subscribers(address, count, slow_per_s=slow_per_s) as subscribers:
                    if stopped:
                        subscribers.stop()
                    found.append(await _run(bench, environment, name))
            found.append(await _run(bench, environment, NOBODY))
            found.append(await _late_and_stopped(bench, environment, address))
    return found


async def _late_and_stopped(bench: Bench, environment: Environment, address: str) -> Audience:
    """Start the analytics role after all that, stop it for STOPPED_S under load; count what it lacks afterwards."""
    log_url = f"http://127.0.0.1:{environment.ports[0].internal}"
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agm-")))
        engine = await stack.enter_async_context(open_engine(home, address, log_url))
        os.kill(engine.pid, signal.SIGSTOP)
        try:
            audience = await _run(
                Bench(bench.server, STOPPED_S, {}, _silent), environment, "analytics, late and stopped for 30 s"
            )
        finally:
            os.kill(engine.pid, signal.SIGCONT)
        connection = await asyncpg.connect(environment.dsn)
        try:
            changes: int = await connection.fetchval(COUNT_CHANGES)
        finally:
            await connection.close()
        facts = 0
        async with asyncio.timeout(FILLED_WITHIN_S):
            while facts < changes:
                facts = (await engine.figures())["unique"]
                await asyncio.sleep(0.2)
    return msgspec.structs.replace(audience, missing_facts=changes - facts)


async def _run(bench: Bench, environment: Environment, name: str) -> Audience:
    run = await bench.run(environment, name, connections=CONNECTIONS, lines=LINES, rate=RATE)
    latency = run.tally.latency_ms["confirm"]
    return Audience(
        name=name,
        orders=run.tally.orders,
        confirm_p50_ms=latency.p50,
        confirm_p99_ms=latency.p99,
        grown_mib=round(run.rss_after_mib - run.rss_before_mib, 1),
        rss_mib=run.rss_after_mib,
    )


def _silent(_title: str) -> OnEvent:
    return lambda _event: None
