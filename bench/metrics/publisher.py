"""A gateway's publisher of metrics in a process of its own: commands on standard input, counts and CPU on output.

It is the gateway's own `Metrics` on its own PUB socket; only the committed changes are made up, before the CPU counts.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from array import array
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import uvloop
from msgspec import Struct

from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.status_change import StatusChange
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.kit import bus
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process import clock
from bench.job import Latency, latency_of
from bench.proc import rss_mib
from bench.processes import open_module, read_line, write_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATUSES: Final = (Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED)
AT_ONCE: Final = 10_000  # changes made up at a time
TICK_S: Final = 0.01  # of an even pace
SETTLE_S: Final = 0.05  # until ZeroMQ's thread has written what is queued
WITHIN_S: Final = 120.0


class Send(Struct, frozen=True):
    """Publish `count` metrics: `rate` a second, or as fast as it goes if it is 0."""

    count: int
    rate: float = 0.0


class Sent(Struct, frozen=True):
    """What a command cost.

    `thread_s`: CPU of the thread that publishes; `cpu_s`: of the process, with ZeroMQ's thread, which writes to the
    sockets. Neither has the making up and the waiting. `epoch` and `total` are of the whole run; `latency` is of one
    `publish`.
    """

    epoch: int
    total: int
    sent: int
    dropped: int
    took_s: float
    thread_s: float
    cpu_s: float
    rss_mib: float
    latency: Latency


class Publishing:
    """A publisher in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.pid = process.pid
        self.address = address
        self._process = process

    async def send(self, count: int, rate: float = 0.0) -> Sent:
        """Publish, and return what it cost. Raises TimeoutError after WITHIN_S."""
        await write_line(self._process, msgspec.json.encode(Send(count, rate)))
        return msgspec.json.decode(await read_line(self._process, WITHIN_S), type=Sent)


@asynccontextmanager
async def open_publishing(address: str) -> AsyncIterator[Publishing]:
    """Run a publisher that binds `address`."""
    async with open_module("bench.metrics.publisher", address) as process:
        await read_line(process, WITHIN_S)
        yield Publishing(process, address)


def make_changes(metrics: Metrics, count: int) -> list[list[StatusChange]]:
    """Return committed changes of orders, three of each, as `publish` is called for."""
    made, at, order_id = [], clock.now(), uuid7()
    for turn in range(count):
        version = turn % len(STATUSES)
        if not version:
            order_id, at = uuid7(), clock.now()
        number = metrics.reserve_numbers()
        made.append([StatusChange(order_id, version + 1, STATUSES[version], at, at, 1_999, 6, 3, number)])
    return made


async def publish(metrics: Metrics, publisher: bus.Publisher, command: Send) -> Sent:
    """Carry out a command."""
    sent_before, dropped_before = publisher.sent, publisher.dropped
    thread_s = took_s = 0.0
    own, process = time.thread_time(), time.process_time()
    latencies = array("d")
    remaining = command.count
    began_s, done = time.perf_counter(), 0
    while remaining:
        tick = max(1, round(command.rate * TICK_S)) if command.rate else AT_ONCE
        changes = make_changes(metrics, min(tick, remaining))
        if command.rate:
            await asyncio.sleep(max(0.0, began_s + done / command.rate - time.perf_counter()))
        start, thread = time.perf_counter(), time.thread_time()
        for one in changes[:-1]:
            await metrics.publish(one)
        last_s = time.perf_counter()
        await metrics.publish(changes[-1])
        latencies.append(time.perf_counter() - last_s)
        publisher.flush()
        took_s += time.perf_counter() - start
        thread_s += time.thread_time() - thread
        done += len(changes)
        remaining -= len(changes)
    await asyncio.sleep(SETTLE_S)
    counters = metrics.counters()
    return Sent(
        counters["epoch"],
        counters["taken"],
        publisher.sent - sent_before,
        publisher.dropped - dropped_before,
        took_s,
        thread_s,
        time.process_time() - process - (time.thread_time() - own) + thread_s,
        rss_mib(os.getpid()),
        latency_of(latencies),
    )


async def run(address: str) -> None:
    """Publish at `address` what standard input asks for, until it ends."""
    async with bus.open_publisher("BENCH_ADDR", address, point="metrics.publish") as publisher:
        metrics = Metrics(publisher, "mart-1")
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            sent = await publish(metrics, publisher, msgspec.json.decode(line, type=Send))
            print(msgspec.json.encode(sent).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1]))
