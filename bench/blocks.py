"""What an order's building blocks cost alone: each in a process that does nothing else, against the real other end.

Their sum is what an order would cost a gateway without any logic of its own on the same libraries; what the gateway spends
beyond it are the actions: checks, objects, tasks, and the wait for one another. `python -m bench.blocks NAME` is that process.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uvicorn
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
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process import clock, log
from autogrocery.kit.rpc.client import open_channel
from autogrocery.kit.security.tokens import Verifier, issue
from bench.measure import reap
from bench.proc import cpu_s
from bench.stage import ROOT, open_stage
from bench.wire import connect, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from autogrocery.gateway.core.order import Line
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.wire import Wire

    Work = Callable[[], Awaitable[None]]

TIMES, WARM_UP_SHARE = 6_000, 6
HOLD_S, TTL_S = 150, 120
WITHIN_S: Final = 120.0
CURRENCY, PRICE_CENTS = "USD", 129
KEY = b"k" * 32
ISSUER, AUDIENCE, SCOPE = "bench", "bench", "orders:write"
SHA256 = bytes(32)
BODY = b'{"data":"' + b"x" * 600 + b'"}'  # about what a preview is answered with
ROBOTS = (Robot("robot-dairy-1", "dairy", "01890000-0000-7000-8000-000000000000-1"),)


class Block(Struct, frozen=True):
    """One building block: how often an order needs it, and what it costs each time in CPU µs."""

    name: str
    times: int
    us: float


class Ends(Struct, frozen=True):
    """What the process of a block is told: the other ends, how often, how many at once, and the basket."""

    dsn: str
    targets: dict[str, str]
    times: int
    at_once: int
    wants: list[RequestedItem]


async def bare(_scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer as little as an ASGI application can: no route, no token, no JSON."""
    await receive()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


async def serve_bare() -> None:
    """Serve `bare` by uvicorn as it comes, until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(bare, loop="none", ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    print(listener.getsockname()[1], flush=True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


async def serve_ours() -> None:
    """Serve one route of the product's own layer: token, scope and body are checked, the answer is encoded."""

    async def act(request: Request) -> PreviewIn:
        body: PreviewIn = request.body
        return body

    verifier = Verifier([KEY], issuer=ISSUER, audience=AUDIENCE)
    route = Route("POST", "/block", act, scope=SCOPE, body=PreviewIn, answer=PreviewIn)
    async with serve_http(App([route], Guard(verifier.verify, ("/block",))), "127.0.0.1", 0, "BLOCK_ADDR") as port:
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@asynccontextmanager
async def calls(ends: Ends) -> AsyncIterator[Work]:
    """Make the three calls of an order."""
    async with (
        open_channel(ends.targets["inventory"]) as to_inventory,
        open_channel(ends.targets["pricing"]) as to_pricing,
    ):
        inventory, pricing = Inventory(to_inventory, streams=True), Pricing(to_pricing, streams=True)
        lines = _lines(ends.wants)

        async def work() -> None:
            order_id = clock.uuid7()
            await pricing.quote(order_id, ends.wants)
            await inventory.reserve(order_id, ends.wants, hold_s=HOLD_S, allow_partial=False)
            await inventory.assign_robots(order_id, lines)

        yield work


@asynccontextmanager
async def statements(ends: Ends) -> AsyncIterator[Work]:
    """Write the three statements of an order."""
    lines = _lines(ends.wants)
    numbers = itertools.count(1)
    async with open_db(ends.dsn, application="blocks") as db:
        store = OrderStore(db)

        def number() -> MetricNumber:
            return MetricNumber(1, next(numbers))

        async def work() -> None:
            order_id = clock.uuid7()
            made = await orders.add(store, order_id, 1, CURRENCY, lines, sha256=SHA256, ttl_s=TTL_S, number=number())
            assert made is not None
            assert await transitions.mark_dispatched(store, made, ROBOTS, number=number())
            delivery = WebhookDelivery(f"msg_{order_id}", SHA256)
            settlement = compute_result(msgspec.structs.replace(made, status=Status.PROCESSING), Fact.PICKED, None)
            assert await transitions.finish(
                store, order_id, settlement, robots=None, even_if_idle=False, delivery=delivery, number=number()
            )

        yield work


@asynccontextmanager
async def frames(_ends: Ends) -> AsyncIterator[Work]:
    """Send the three frames of an order."""
    at = clock.now()
    async with bus.open_publisher("BLOCK_ADDR", "tcp://127.0.0.1:0", point="block") as publisher:
        metrics = Metrics(publisher, "bench")

        async def work() -> None:
            order_id = clock.uuid7()
            for status in (Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED):
                await metrics.publish(
                    [StatusChange(order_id, 1, status, at, at, PRICE_CENTS, 2, 2, metrics.reserve_numbers())]
                )

        yield work


@asynccontextmanager
async def lines_of_log(_ends: Ends) -> AsyncIterator[Work]:
    """Write the two log lines of an order."""

    async def work() -> None:
        order_id = str(clock.uuid7())
        log.log.info("order_dispatched", order_id=order_id, robots=1)
        log.log.info("order_finished", order_id=order_id, status="COMPLETED", outcome="FULL")

    yield work


SERVERS: Final = {"uvicorn alone": serve_bare, "HTTP": serve_ours}
WORKS: Final = {"calls": calls, "statements": statements, "frames": frames, "log": lines_of_log}
# By the process that measures it: what it is, and how often an order needs it.
NAMES: Final = {
    "uvicorn alone": ("a request to uvicorn with a bare application", 0),
    "HTTP": ("a request to our HTTP layer: route, token, scope, JSON in and out", 3),
    "calls": ("a call of a peer, on a stream", 3),
    "statements": ("a change of an order's row, in a statement for many", 3),
    "frames": ("a metric: made, encoded, given to ZeroMQ", 3),
    "log": ("a line of the log", 2),
}


async def measured(work: Work, times: int, at_once: int) -> float:
    """Return the CPU µs of one piece of work, of this whole process, done so often with so many under way."""

    async def repeat(left: Any) -> None:
        for _ in left:
            await work()

    async def all_of(count: int) -> None:
        left = iter(range(count))
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(repeat(left) for _ in range(at_once)))

    await all_of(times // WARM_UP_SHARE)
    began = time.process_time()
    await all_of(times)
    return (time.process_time() - began) / times * 1e6


async def be(name: str) -> None:
    """Be the process of a block."""
    log.configure("block", logging.INFO)
    if name in SERVERS:
        await SERVERS[name]()
        return
    ends = msgspec.json.decode(sys.stdin.readline(), type=Ends)
    async with WORKS[name](ends) as work:
        print(await measured(work, ends.times, ends.at_once), flush=True)


async def blocks(
    server: EmbeddedPostgres, at_once: int, basket: Sequence[tuple[str, int]], *, times: int = TIMES
) -> list[Block]:
    """Measure all blocks, one after the other, each so often with so many under way."""
    wants = list(merge([RequestedItem(sku, quantity) for sku, quantity in basket]))
    async with open_stage(server, connections=at_once) as stage:
        told = msgspec.json.encode(Ends(stage.dsn, stage.targets, times, at_once, wants)) + b"\n"
        found = []
        for name, (what, count) in NAMES.items():
            if name in SERVERS:
                spent_us = await _of_server(name, 3 * times, at_once, wants)  # /proc counts in hundredths of a second
            else:
                spent_us = await _of_work(name, told) / count
            found.append(Block(what, count, round(spent_us, 1)))
    return found


@asynccontextmanager
async def _process(name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.blocks", name, stdin=pipe, stdout=pipe, stderr=nothing, cwd=ROOT
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await reap(process)


async def _told_by(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a block ended without a word")
    return line


async def _of_work(name: str, told: bytes) -> float:
    async with _process(name) as process:
        assert process.stdin is not None
        process.stdin.write(told)
        return float(await _told_by(process))


async def _of_server(name: str, times: int, at_once: int, wants: Sequence[RequestedItem]) -> float:
    body = msgspec.json.encode({"items": [{"sku": want.sku, "quantity": want.quantity} for want in wants]})
    claims: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "scopes": (SCOPE,), "ttl_s": 3_600}
    token = issue(KEY, user_id=1, principal="bench", **claims)
    request = post("/block", body, ("authorization", f"Bearer {token}"))
    async with _process(name) as process:
        port = int(await _told_by(process))
        wires = [await connect(port) for _ in range(at_once)]
        await _ask(wires, request, max(at_once, times // WARM_UP_SHARE))
        began = cpu_s(process.pid)
        await _ask(wires, request, times)
        spent_s = cpu_s(process.pid) - began
        for wire in wires:
            wire.close()
    return spent_s / times * 1e6


async def _ask(wires: Sequence[Wire], request: bytes, times: int) -> None:
    """Have so many requests answered, one at a time on each connection."""
    done = asyncio.Event()
    left, answers = times - len(wires), 0

    def ask(wire: Wire) -> None:
        def answered(status: int, _body: bytes, _retry_after_s: float) -> None:
            nonlocal left, answers
            assert status == 200, status  # noqa: PLR2004 - OK
            answers += 1
            if answers == times:
                done.set()
            if left > 0:
                left -= 1
                ask(wire)

        wire.ask(request, answered)

    for wire in wires:
        ask(wire)
    async with asyncio.timeout(WITHIN_S):
        await done.wait()


def _lines(wants: Sequence[RequestedItem]) -> tuple[Line, ...]:
    """Return what was wanted as priced and granted in full."""
    quote = Quote(CURRENCY, {want.sku: Price(want.sku, PRICE_CENTS) for want in wants}, ())
    return lines_of(wants, quote, {want.sku: want.quantity for want in wants})


if __name__ == "__main__":
    uvloop.run(be(sys.argv[1]))
