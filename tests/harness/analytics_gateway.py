"""A gateway as the analytics engine sees it: a history behind HTTP, and a publisher that can lose, repeat and reorder."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from aiohttp import web

from autogrocery.analytics.app import main
from autogrocery.contracts.analytics.metric import OrderMetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PAGE = 100
STOP_WITHIN_S = 10.0


def metric(sequence: int, *, epoch: int = 1, **changed: Any) -> OrderMetric:
    """One metric of an order of its own."""
    one = OrderMetric(
        str(UUID(int=epoch << 64 | sequence)),
        "COMPLETED",
        1.0,
        1_767_225_600,
        epoch=epoch,
        sequence=sequence,
        version=3,
    )
    return msgspec.structs.replace(one, **changed)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(holds: Callable[[], object], deadline_s: float = 15.0) -> None:
    """Wait until `holds()`; TimeoutError after the deadline."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - whatever the gateway was asked
            await asyncio.sleep(0.01)


class History:
    """The metrics log, on a fixed port, which can be shut and opened."""

    def __init__(self) -> None:
        self.port = free_port()
        self.metrics: dict[int, dict[int, OrderMetric]] = {}
        self.void: dict[int, list[int]] = {}
        self.last: dict[int, int] = {}
        self.asked: list[dict[str, str]] = []

    def write(self, *metrics: OrderMetric) -> None:
        for one in metrics:
            self.metrics.setdefault(one.epoch, {})[one.sequence] = one
            self.last[one.epoch] = max(self.last.get(one.epoch, 0), one.sequence)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/internal/metrics-log", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if "epoch" not in request.query:
            return web.json_response({"epochs": [{"epoch": e, "last_sequence": n} for e, n in self.last.items()]})
        epoch, after = int(request.query["epoch"]), int(request.query["after"])
        numbers = sorted(number for number in self.metrics.get(epoch, {}) if number > after)[:PAGE]
        until = numbers[-1] if len(numbers) == PAGE else None
        void = [number for number in self.void.get(epoch, ()) if number > after and (until is None or number <= until)]
        told = [msgspec.to_builtins(self.metrics[epoch][number]) for number in numbers]
        return web.json_response({"metrics": told, "void": void, "next_after": until})


class Engine:
    """A running engine's status file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def figures(self) -> dict[str, Any]:
        return json.loads(self._file.read_bytes()) if self._file.exists() else {}

    async def shows(self, holds: Callable[[dict[str, Any]], object], deadline_s: float = 15.0) -> dict[str, Any]:
        """Wait until the file's figures hold, and return them; TimeoutError after the deadline."""
        async with asyncio.timeout(deadline_s):
            while not (told := self.figures()) or not holds(told):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.02)
        return told


@asynccontextmanager
async def engine(home: Path, history: History, address: str) -> AsyncIterator[Engine]:
    """Run the engine's process on a publisher's address."""
    file = home / "analytics.json"
    environ = {
        "ANALYTICS_ZMQ_ADDR": address,
        "GATEWAY_WEBHOOK_URL": f"http://127.0.0.1:{history.port}",
        "ANALYTICS_STATUS_FILE": str(file),
    }
    stop = asyncio.Event()
    running = asyncio.create_task(main(environ, stop))
    try:
        yield Engine(file)
    finally:
        stop.set()
        await asyncio.wait_for(running, STOP_WITHIN_S)
