"""The CPU of an order's building blocks: each is measured alone, in its own process, with a real peer or database.

Their sum is what an order would cost a gateway without logic on the same libraries. The gateway's CPU beyond this sum
is spent on its actions: checks, objects, tasks, smaller batches. `python -m bench.blocks NAME` runs one block.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uvloop
from msgspec import Struct

from autogrocery.gateway.core.order import Fact, Robot, Status, WebhookDelivery, compute_result
from autogrocery.gateway.core.quote import Price, Quote, RequestedItem, lines_of, merge
from autogrocery.gateway.core.status_change import MetricNumber, StatusChange
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import orders, transitions
from autogrocery.gateway.store.order_store import OrderStore
from autogrocery.gateway.wire.orders import PreviewIn
from autogrocery.kit import bus
from autogrocery.kit.http.app import App, Guard, Request, Route
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process import clock, log
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.security.tokens import Verifier, issue
from bench.environment import open_environment
from bench.http_connection import connect, post
from bench.proc import cpu_s
from bench.processes import open_module, read_line, write_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from autogrocery.gateway.core.order import Line
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.http_connection import HttpConnection

    Work = Callable[[], Awaitable[None]]

TIMES, WARM_UP_SHARE = 6_000, 6
HOLD_S, TTL_S = 150, 120
WITHIN_S: Final = 120.0
CURRENCY, PRICE_CENTS = "USD", 129
KEY = b"k" * 32
ISSUER, AUDIENCE, SCOPE = "bench", "bench", "orders:write"
SHA256 = bytes(32)
ROBOTS = (Robot("robot-dairy-1", "dairy", "01890000-0000-7000-8000-000000000000-1"),)


class Block(Struct, frozen=True):
    """One building block: how many of it an order needs, and the CPU µs of one."""

    name: str
    times: int
    us: float


class BlockInput(Struct, frozen=True):
    """The input of a block's process.

    `targets`: of the peers' gRPC, by role. `times`: number of calls to measure, `concurrency` at a time.
    """

    dsn: str
    targets: dict[str, str]
    times: int
    concurrency: int
    items: list[RequestedItem]


async def serve_http_layer() -> None:
    """Serve one route with the gateway's HTTP layer, which checks token, scope and body; prints the port."""

    async def act(request: Request) -> PreviewIn:
        body: PreviewIn = request.body
        return body

    verifier = Verifier([KEY], issuer=ISSUER, audience=AUDIENCE)
    route = Route("POST", "/block", act, scope=SCOPE, body=PreviewIn, answer=PreviewIn)
    async with serve_http(App([route], Guard(verifier.verify, ("/block",))), "127.0.0.1", 0, "BLOCK_ADDR") as port:
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@asynccontextmanager
async def calls(inputs: BlockInput) -> AsyncIterator[Work]:
    """Open channels and yield the three calls to peers of an order."""
    async with (
        open_channel(inputs.targets["inventory"]) as to_inventory,
        open_channel(inputs.targets["pricing"]) as to_pricing,
    ):
        inventory, pricing = Inventory(to_inventory), Pricing(to_pricing)
        lines = _lines(inputs.items)

        async def work() -> None:
            order_id = uuid7()
            await pricing.quote(order_id, inputs.items)
            await inventory.reserve(order_id, inputs.items, hold_s=HOLD_S, allow_partial=False)
            await inventory.assign_robots(order_id, lines)

        yield work


@asynccontextmanager
async def statements(inputs: BlockInput) -> AsyncIterator[Work]:
    """Open a pool and yield the three writes of an order."""
    lines = _lines(inputs.items)
    numbers = itertools.count(1)
    async with open_db(inputs.dsn, application="blocks") as db:
        store = OrderStore(db)

        def number() -> MetricNumber:
            return MetricNumber(1, next(numbers))

        async def work() -> None:
            order_id = uuid7()
            made = await orders.add(store, order_id, 1, CURRENCY, lines, sha256=SHA256, ttl_s=TTL_S, number=number())
            assert made is not None
            assert await transitions.mark_dispatched(store, made, ROBOTS, number=number())
            delivery = WebhookDelivery(f"msg_{order_id}", SHA256)
            result = compute_result(msgspec.structs.replace(made, status=Status.PROCESSING), Fact.PICKED, None)
            assert await transitions.finish(
                store, order_id, result, robots=None, even_if_idle=False, delivery=delivery, number=number()
            )

        yield work


@asynccontextmanager
async def metrics(_inputs: BlockInput) -> AsyncIterator[Work]:
    """Open a publisher and yield the three metrics of an order."""
    at = clock.now()
    async with bus.open_publisher("BLOCK_ADDR", "tcp://127.0.0.1:0", point="block") as publisher:
        publishing = Metrics(publisher, "bench")

        async def work() -> None:
            order_id = uuid7()
            for status in (Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED):
                await publishing.publish(
                    [StatusChange(order_id, 1, status, at, at, PRICE_CENTS, 2, 2, publishing.reserve_numbers())]
                )

        yield work


@asynccontextmanager
async def log_lines(_inputs: BlockInput) -> AsyncIterator[Work]:
    """Yield the two log lines of an order."""

    async def work() -> None:
        order_id = str(uuid7())
        log.log.info("order_dispatched", order_id=order_id, robots=1)
        log.log.info("order_finished", order_id=order_id, status="COMPLETED", outcome="FULL")

    yield work


SERVERS: Final = {"HTTP": serve_http_layer}
WORKS: Final = {"calls": calls, "statements": statements, "metrics": metrics, "log": log_lines}
# By argument of the process: the block's label in the tables, and how many of it an order needs.
BLOCKS: Final = {
    "HTTP": ("a request to the gateway's HTTP layer: route, token, scope, JSON in and out", 3),
    "calls": ("a call to a peer", 3),
    "statements": ("a write of an order, in a batched statement", 3),
    "metrics": ("a metric: created, encoded, handed to ZeroMQ", 3),
    "log": ("a log line", 2),
}


async def cpu_us_of(work: Work, times: int, concurrency: int) -> float:
    """Return this process's CPU µs for one call of `work`: the mean of `times` calls, `concurrency` at a time."""

    async def repeat(remaining: Any) -> None:
        for _ in remaining:
            await work()

    async def run_calls(count: int) -> None:
        remaining = iter(range(count))  # shared: each repetition takes the next
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(repeat(remaining) for _ in range(concurrency)))

    await run_calls(times // WARM_UP_SHARE)
    began = time.process_time()
    await run_calls(times)
    return (time.process_time() - began) / times * 1e6


async def run_block(name: str) -> None:
    """Run one block in this process: a server until standard input ends, or a measurement, whose result is printed."""
    log.configure("block", logging.INFO)
    if name in SERVERS:
        await SERVERS[name]()
        return
    inputs = msgspec.json.decode(sys.stdin.readline(), type=BlockInput)
    async with WORKS[name](inputs) as work:
        print(await cpu_us_of(work, inputs.times, inputs.concurrency), flush=True)


async def measure_blocks(
    server: EmbeddedPostgres, concurrency: int, basket: Sequence[tuple[str, int]], *, times: int = TIMES
) -> list[Block]:
    """Measure all blocks, one after the other: `times` calls of each, `concurrency` at a time."""
    items = list(merge([RequestedItem(sku, quantity) for sku, quantity in basket]))
    async with open_environment(server, connections=concurrency) as environment:
        block_input = msgspec.json.encode(BlockInput(environment.dsn, environment.targets, times, concurrency, items))
        measured = []
        for name, (label, count) in BLOCKS.items():
            if name in SERVERS:
                spent_us = await _measure_server(name, 3 * times, concurrency, items)  # /proc has steps of 10 ms
            else:
                spent_us = await _measure_work(name, block_input) / count
            measured.append(Block(label, count, round(spent_us, 1)))
    return measured


async def _measure_work(name: str, block_input: bytes) -> float:
    async with open_module("bench.blocks", name, quiet=True) as process:
        await write_line(process, block_input)
        return float(await read_line(process, WITHIN_S))


async def _measure_server(name: str, times: int, concurrency: int, items: Sequence[RequestedItem]) -> float:
    body = msgspec.json.encode({"items": [{"sku": item.sku, "quantity": item.quantity} for item in items]})
    claims: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "scopes": (SCOPE,), "ttl_s": 3_600}
    token = issue(KEY, user_id=1, principal="bench", **claims)
    request = post("/block", body, ("authorization", f"Bearer {token}"))
    async with open_module("bench.blocks", name, quiet=True) as process:
        port = int(await read_line(process, WITHIN_S))
        connections = [await connect(port) for _ in range(concurrency)]
        await _send_requests(connections, request, max(concurrency, times // WARM_UP_SHARE))
        began = cpu_s(process.pid)
        await _send_requests(connections, request, times)
        spent_s = cpu_s(process.pid) - began
        for connection in connections:
            connection.close()
    return spent_s / times * 1e6


async def _send_requests(connections: Sequence[HttpConnection], request: bytes, times: int) -> None:
    """Send `times` requests, one at a time on each connection, and wait for their responses."""
    done = asyncio.Event()
    unsent, responses = times - len(connections), 0

    def send(connection: HttpConnection) -> None:
        def on_response(status: int, _body: bytes, _retry_after_s: float) -> None:
            nonlocal unsent, responses
            assert status == 200, status  # noqa: PLR2004 - OK
            responses += 1
            if responses == times:
                done.set()
            if unsent > 0:
                unsent -= 1
                send(connection)

        connection.send(request, on_response)

    for connection in connections:
        send(connection)
    async with asyncio.timeout(WITHIN_S):
        await done.wait()


def _lines(items: Sequence[RequestedItem]) -> tuple[Line, ...]:
    """Return the requested items as lines, priced and granted in full."""
    quote = Quote(CURRENCY, {item.sku: Price(item.sku, PRICE_CENTS) for item in items}, ())
    return lines_of(items, quote, {item.sku: item.quantity for item in items})


if __name__ == "__main__":
    uvloop.run(run_block(sys.argv[1]))
