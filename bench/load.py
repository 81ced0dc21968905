"""The load generator, its own process: reads a Job from standard input and writes LoadEvents to standard output.

Closed loop: a connection begins its next order when the one before has ended. Open loop: orders are due at even
intervals, however long earlier ones take, and latency counts from the instant of being due (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import uvloop

from bench.http_connection import CONNECTION_LOST, connect, post
from bench.job import BEGAN, ENDED, PROGRESS, RESULT, Job, LoadEvent, Login, Tally, latency_of
from bench.order_client import LoadCounters, OrderClient, Requests

if TYPE_CHECKING:
    from bench.http_connection import HttpConnection

TICK_S = 0.001
PROGRESS_EVERY_S = 1.0
MIN_PAUSE_S = 0.05  # before a refused client begins another order in a closed loop
MAX_WAITING = 20_000  # due orders without a free connection
DRAIN_S = 5.0  # for orders in flight when the measured time is over


class Arrivals:
    """Starts orders. Closed loop (`rate` None): when a client becomes idle. Open loop: at `rate` orders a second."""

    def __init__(self, rate: float | None, order_limit_reached: asyncio.Event) -> None:
        self.late = 0
        self.dropped = 0
        self.busy = 0
        self.stopped = False
        self._order_limit_reached = order_limit_reached
        self._rate = rate
        self._idle: deque[OrderClient] = deque()
        self._due: deque[float] = deque()

    def idle(self, client: OrderClient, pause_s: float) -> None:
        """Give an idle client its next order; in a closed loop after `pause_s`."""
        self.busy -= 1
        if self._rate is not None:
            if self._due and not self.stopped:
                self._begin(client, self._due.popleft())
            else:
                self._idle.append(client)
        elif pause_s and not self.stopped:
            asyncio.get_running_loop().call_later(max(pause_s, MIN_PAUSE_S), self._begin_now, client)
        else:
            self._begin_now(client)

    def _begin_now(self, client: OrderClient) -> None:
        if not self.stopped and not self._order_limit_reached.is_set():
            self._begin(client, time.perf_counter())

    def _begin(self, client: OrderClient, due: float) -> None:
        self.busy += 1
        client.begin(due)

    def start(self, clients: list[OrderClient]) -> None:
        """Let clients begin orders."""
        if self._rate is None:
            for client in clients:
                self._begin_now(client)
        else:
            self._idle.extend(clients)

    async def tick(self) -> None:
        """In an open loop, begin orders as they become due. The delay of up to TICK_S counts as their latency."""
        if self._rate is None:
            return
        next_due = time.perf_counter()
        while not self.stopped:
            now = time.perf_counter()
            while next_due <= now:
                if self._idle:
                    self._begin(self._idle.popleft(), next_due)
                elif len(self._due) < MAX_WAITING:
                    self.late += 1
                    self._due.append(next_due)
                else:
                    self.dropped += 1
                next_due += 1.0 / self._rate
            await asyncio.sleep(TICK_S)


def keep_logging_in(counters: LoadCounters, connection: HttpConnection, login: Login) -> None:
    """Log one device in, again and again, until the connection ends."""
    request = post("/api/client/login", msgspec.json.encode(login))

    def on_response(status: int, _body: bytes, retry_after_s: float) -> None:
        if status == CONNECTION_LOST:
            return
        if status == 200:  # noqa: PLR2004 - OK
            counters.logins += counters.measuring
        else:
            counters.failures[f"login {status}"] += counters.measuring
        loop = asyncio.get_running_loop()
        loop.call_later(retry_after_s, connection.send, request, on_response)

    connection.send(request, on_response)


async def run(job: Job) -> Tally:
    """Run the job and return its counts."""
    counters, requests = LoadCounters(), Requests(job)
    arrivals = Arrivals(job.rate, counters.order_limit_reached)
    counters.order_limit = job.orders
    opened: list[HttpConnection] = []
    clients = []
    for number in range(job.connections):
        # A webhook reaches any gateway, as behind a load balancer.
        first, second = (job.ports[turn % len(job.ports)] for turn in (number, number // len(job.ports)))
        public = await connect(first.public)
        internal = await connect(second.internal) if job.sends_webhooks else None
        opened += [public, *([internal] if internal else [])]
        clients.append(OrderClient(counters, requests, public, internal, arrivals.idle))
    for number, login in enumerate(job.logins):
        opened.append(await connect(job.ports[number % len(job.ports)].public))
        keep_logging_in(counters, opened[-1], login)
    gc.collect()
    gc.freeze()
    if job.warm_up_s:
        arrivals.start(clients)
    ticking = asyncio.create_task(arrivals.tick())
    await asyncio.sleep(job.warm_up_s)
    write_event(LoadEvent(BEGAN))
    began, cpu_began = time.perf_counter(), time.process_time()
    counters.measuring, warm_up_orders = True, counters.all_orders
    if not job.warm_up_s:
        arrivals.start(clients)
    progress = asyncio.create_task(report_progress(counters))
    try:
        async with asyncio.timeout(job.seconds):
            await counters.order_limit_reached.wait()
    except TimeoutError:
        pass
    counters.measuring = False
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    progress.cancel()
    write_event(LoadEvent(ENDED))
    arrivals.stopped = True
    await ticking
    await wait_for_orders(arrivals)
    for connection in opened:
        connection.close()
    return Tally(
        took_s=took_s,
        orders=counters.orders,
        all_orders=counters.all_orders,
        begun=counters.begun,
        latency_ms={kind: latency_of(took) for kind, took in counters.took_s.items() if took},
        failures=dict(counters.failures),
        refused_ms=latency_of(counters.refused_s) if counters.refused_s else None,
        late=arrivals.late,
        dropped=arrivals.dropped,
        logins=counters.logins,
        cpu_s=cpu_s,
        warm_up_orders=warm_up_orders,
    )


async def wait_for_orders(arrivals: Arrivals) -> None:
    """Wait until the orders in flight have ended, at most DRAIN_S."""
    give_up_at = time.perf_counter() + DRAIN_S
    while arrivals.busy and time.perf_counter() < give_up_at:  # noqa: ASYNC110 - counted by callbacks that have no future
        await asyncio.sleep(0.01)


async def report_progress(counters: LoadCounters) -> None:
    """Write the number of finished orders every second."""
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        write_event(LoadEvent(PROGRESS, counters.orders))


def write_event(event: LoadEvent) -> None:
    """Write one event and flush it."""
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    """Read the job, run it, write its events."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    tally = uvloop.run(run(job))
    write_event(LoadEvent(RESULT, tally.orders, tally))
    return 0


if __name__ == "__main__":
    sys.exit(main())
