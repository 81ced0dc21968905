"""Subscribers in a process of their own, which only receive: N sockets at one address, and the count at the end."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import zmq

from autogrocery.kit.bus import HIGH_WATER_MARK
from bench.processes import open_module, read_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READY_S: Final = 20.0
JOINED_S: Final = 0.5  # until subscriptions have reached the publisher
POLL_MS: Final = 100


class Subscribers:
    """A process with some subscribers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def stop(self) -> None:
        """Stop the process: it receives nothing, and its connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the process go on."""
        self._process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def open_subscribers(address: str, count: int, *, slow_per_s: float = 0.0) -> AsyncIterator[Subscribers]:
    """Run `count` subscribers at an address; with `slow_per_s` each receives that many messages a second at most."""
    async with open_module("bench.metrics.subscribers", address, str(count), str(slow_per_s)) as process:
        await read_line(process, READY_S)
        await asyncio.sleep(JOINED_S)
        subscribers = Subscribers(process)
        try:
            yield subscribers
        finally:
            subscribers.go_on()


def receive(context: zmq.Context[zmq.Socket[bytes]], address: str, slow_per_s: float, ended: threading.Event) -> None:
    """Receive and throw away all messages at an address until `ended`."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, POLL_MS)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(address)
    while not ended.is_set():
        with suppress(zmq.Again):
            socket.recv()
            if slow_per_s:
                time.sleep(1.0 / slow_per_s)
    socket.close()


def main(address: str, count: int, slow_per_s: float) -> None:
    """Receive until standard input ends."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    ended = threading.Event()
    threads = [threading.Thread(target=receive, args=(context, address, slow_per_s, ended)) for _ in range(count)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    context.term()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
