"""What the analytics engine needs of a gateway: a fake metrics log over HTTP; and the engine itself, run in a task."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from aiohttp import web

from autogrocery.analytics.app import main
from autogrocery.contracts.analytics.metric import OrderMetric
from autogrocery.lab.ports import free_ports
from tests.harness.web_site import serving_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PAGE = 100
STOP_WITHIN_S = 10.0


def metric(sequence: int, *, epoch: int = 1, **changed: Any) -> OrderMetric:
    """Return a metric of an order that no other (epoch, sequence) has."""
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


class FakeMetricsLog:
    """A metrics log on a fixed port, which can be stopped and started; `queries` has the query of every request."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.metrics: dict[int, dict[int, OrderMetric]] = {}
        self.void: dict[int, list[int]] = {}
        self.last: dict[int, int] = {}
        self.queries: list[dict[str, str]] = []
        self.page = PAGE
        self.shortfalls: dict[str, Any] | None = None  # the answer to every question; None: a gateway without the route
        self.asked: list[str] = []  # order ids

    def write(self, *metrics: OrderMetric) -> None:
        for one in metrics:
            self.metrics.setdefault(one.epoch, {})[one.sequence] = one
            self.last[one.epoch] = max(self.last.get(one.epoch, 0), one.sequence)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/internal/metrics-log", self._answer)
        if self.shortfalls is not None:
            app.router.add_post("/internal/shortfalls", self._answer_shortfalls)
        async with serving_web(app, self.port):
            yield

    async def _answer_shortfalls(self, request: web.Request) -> web.Response:
        self.asked += (await request.json())["order_ids"]
        return web.json_response(self.shortfalls)

    async def _answer(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        if "epoch" not in request.query:
            return web.json_response({"epochs": [{"epoch": e, "last_sequence": n} for e, n in self.last.items()]})
        epoch, after = int(request.query["epoch"]), int(request.query["after"])
        numbers = sorted(number for number in self.metrics.get(epoch, {}) if number > after)[: self.page]
        next_after = numbers[-1] if len(numbers) == self.page else None
        void = [
            number
            for number in self.void.get(epoch, ())
            if number > after and (next_after is None or number <= next_after)
        ]
        metrics = [msgspec.to_builtins(self.metrics[epoch][number]) for number in numbers]
        return web.json_response({"metrics": metrics, "void": void, "next_after": next_after})


class Engine:
    """The status file of a running engine."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def figures(self) -> dict[str, Any]:
        return json.loads(self._file.read_bytes()) if self._file.exists() else {}

    async def shows(self, predicate: Callable[[dict[str, Any]], object], timeout_s: float = 15.0) -> dict[str, Any]:
        """Poll the file until its figures satisfy `predicate`, and return them; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not (figures := self.figures()) or not predicate(figures):  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.02)
        return figures


@asynccontextmanager
async def engine(home: Path, metrics_log: FakeMetricsLog, address: str, **settings: str) -> AsyncIterator[Engine]:
    """Run the analytics role in this process, subscribed to a publisher's address; without `settings` in memory."""
    file = home / "analytics.json"
    environ = {
        "ANALYTICS_ZMQ_ADDR": address,
        "GATEWAY_WEBHOOK_URL": f"http://127.0.0.1:{metrics_log.port}",
        "ANALYTICS_STATUS_FILE": str(file),
        **settings,
    }
    stop = asyncio.Event()
    running = asyncio.create_task(main(environ, stop))
    try:
        yield Engine(file)
    finally:
        stop.set()
        await asyncio.wait_for(running, STOP_WITHIN_S)
