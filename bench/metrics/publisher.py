"""`python -m bench.metrics.publisher ADDRESS`: the gateway's publisher alone in a process, on command.

Each line of standard input is a PublishCommand and is answered by a line of Published.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec
import uvloop
from msgspec import Struct

from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.kit import bus
from autogrocery.kit.process import log
from bench.metrics.changes import changes
from bench.proc import rss_mib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.gateway.core.status_change import StatusChange

SLICE_S: Final = 0.005  # paced publishing sends what is due and sleeps, as a gateway's requests come


class PublishCommand(Struct, frozen=True):
    """Publish `count` changes, `rate` of them a second; 0: as fast as it goes."""

    count: int
    rate: float = 0.0


class Published(Struct, frozen=True):
    """What a command did: `cpu_s` and `took_s` in seconds, without the making of the changes; `dropped` by ZeroMQ."""

    epoch: int
    sent: int
    dropped: int
    cpu_s: float
    took_s: float
    rss_mib: float


async def publish(
    metrics: Metrics, publisher: bus.Publisher, made: Sequence[StatusChange], rate: float
) -> tuple[float, float]:
    """Publish changes one after the other, to the last byte; returns the CPU and wall seconds."""
    cpu, began = time.process_time(), time.perf_counter()
    if not rate:
        for one in made:
            await metrics.publish((one,))
        publisher.flush()
        return time.process_time() - cpu, time.perf_counter() - began
    done = 0
    while done < len(made):
        due = min(len(made), int((time.perf_counter() - began) * rate) + 1)
        for one in made[done:due]:
            await metrics.publish((one,))
        done = due
        await asyncio.sleep(SLICE_S)
    publisher.flush()
    return time.process_time() - cpu, time.perf_counter() - began


async def serve(address: str) -> None:
    """Answer commands until standard input ends."""
    loop = asyncio.get_running_loop()
    async with bus.open_publisher("ADDRESS", address, point="metrics.publish") as publisher:
        metrics = Metrics(publisher, "mart-1")
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = msgspec.json.decode(line, type=PublishCommand)
            sent, dropped = publisher.sent, publisher.dropped
            cpu_s, took_s = await publish(metrics, publisher, list(changes(metrics, command.count)), command.rate)
            answer = Published(
                metrics.epoch,
                publisher.sent - sent,
                publisher.dropped - dropped,
                cpu_s,
                took_s,
                rss_mib(os.getpid()),
            )
            print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    log.configure("publisher", logging.ERROR)
    uvloop.run(serve(sys.argv[1]))
