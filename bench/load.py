"""The load, a process of its own: reads a Job from standard input, loads the gateway, tells Lines on standard output.

Closed loop: every connection begins its next order when the last one is through. Open loop: orders are due at even distances
whatever became of those before, and their time counts from when they were due (no coordinated omission).
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

from bench.job import BEGAN, ENDED, Job, Line, Login, Tally, spread
from bench.shoppers import Figures, Requests, Shopper
from bench.wire import connect, post

if TYPE_CHECKING:
    from bench.wire import Wire

TICK_S = 0.001
TELL_EVERY_S = 1.0
LEAST_PAUSE_S = 0.05  # of a shopper that was refused in a closed loop
MOST_WAITING = 20_000
END_S = 5.0  # for orders under way when time is up


class Arrivals:
    """Who begins the next order, and when. Closed loop: the shopper that is idle. Open loop: by the clock."""

    def __init__(self, rate: float | None, enough: asyncio.Event) -> None:
        self.late = 0
        self.dropped = 0
        self.busy = 0
        self.stopped = False
        self._enough = enough
        self._rate = rate
        self._idle: deque[Shopper] = deque()
        self._due: deque[float] = deque()

    def idle(self, shopper: Shopper, pause_s: float) -> None:
        """Take a shopper that is through with its order."""
        self.busy -= 1
        if self._rate is not None:
            if self._due and not self.stopped:
                self._begin(shopper, self._due.popleft())
            else:
                self._idle.append(shopper)
        elif not self.stopped:
            loop = asyncio.get_running_loop()
            if pause_s:
                loop.call_later(max(pause_s, LEAST_PAUSE_S), self._begin_now, shopper)
            else:
                loop.call_soon(self._begin_now, shopper)

    def _begin_now(self, shopper: Shopper) -> None:
        if not self.stopped and not self._enough.is_set():
            self._begin(shopper, time.perf_counter())

    def _begin(self, shopper: Shopper, due: float) -> None:
        self.busy += 1
        shopper.begin(due)

    def start(self, shoppers: list[Shopper]) -> None:
        """Set everybody going."""
        if self._rate is None:
            for shopper in shoppers:
                self._begin_now(shopper)
        else:
            self._idle.extend(shoppers)

    async def tick(self) -> None:
        """In an open loop, begin what is due; some orders may be late by up to a tick, which counts as their time."""
        if self._rate is None:
            return
        next_due = time.perf_counter()
        while not self.stopped:
            now = time.perf_counter()
            while next_due <= now:
                if self._idle:
                    self._begin(self._idle.popleft(), next_due)
                elif len(self._due) < MOST_WAITING:
                    self.late += 1
                    self._due.append(next_due)
                else:
                    self.dropped += 1
                next_due += 1.0 / self._rate
            await asyncio.sleep(TICK_S)


def log_in(figures: Figures, wire: Wire, login: Login) -> None:
    """Log one device in, again and again, until the connection ends."""
    request = post("/api/client/login", msgspec.json.encode(login))

    def answered(status: int, _body: bytes, retry_after_s: float) -> None:
        if status == 0:
            return
        if status == 200:  # noqa: PLR2004 - OK
            figures.logins += figures.measuring
        else:
            figures.other[f"login {status}"] += figures.measuring
        loop = asyncio.get_running_loop()
        loop.call_later(retry_after_s, wire.ask, request, answered)

    wire.ask(request, answered)


async def run(job: Job) -> Tally:
    """Do the job."""
    figures, requests = Figures(), Requests(job)
    arrivals = Arrivals(job.rate, figures.enough)
    figures.most_orders = job.orders
    wires: list[Wire] = []
    shoppers = []
    for number in range(job.connections):
        here, there = (job.doors[turn % len(job.doors)] for turn in (number, number // len(job.doors)))
        public = await connect(here.public)
        internal = await connect(there.internal) if job.delivers else None
        wires += [public, *([internal] if internal else [])]
        shoppers.append(Shopper(figures, requests, public, internal, arrivals.idle))
    for number, login in enumerate(job.logins):
        wires.append(await connect(job.doors[number % len(job.doors)].public))
        log_in(figures, wires[-1], login)
    gc.collect()
    gc.freeze()
    if job.warm_up_s:
        arrivals.start(shoppers)
    ticking = asyncio.create_task(arrivals.tick())
    await asyncio.sleep(job.warm_up_s)
    tell(Line(BEGAN))
    began, own = time.perf_counter(), time.process_time()
    figures.measuring = True
    if not job.warm_up_s:
        arrivals.start(shoppers)
    telling = asyncio.create_task(tell_on(figures))
    try:
        async with asyncio.timeout(job.seconds):
            await figures.enough.wait()
    except TimeoutError:
        pass
    figures.measuring = False
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - own
    telling.cancel()
    tell(Line(ENDED))
    arrivals.stopped = True
    await ticking
    await ended(arrivals)
    for wire in wires:
        wire.close()
    return Tally(
        took_s=took_s,
        orders=figures.orders,
        all_orders=figures.all_orders,
        begun=figures.begun,
        spread_ms={kind: spread(took) for kind, took in figures.took_s.items() if took},
        other=dict(figures.other),
        refused_ms=spread(figures.refused_s) if figures.refused_s else None,
        late=arrivals.late,
        dropped=arrivals.dropped,
        logins=figures.logins,
        cpu_s=cpu_s,
    )


async def ended(arrivals: Arrivals) -> None:
    """Wait until what is under way is through, for a bounded time."""
    give_up_at = time.perf_counter() + END_S
    while arrivals.busy and time.perf_counter() < give_up_at:  # noqa: ASYNC110 - counted by callbacks that have no future
        await asyncio.sleep(0.01)


async def tell_on(figures: Figures) -> None:
    """Tell how far it is, every second."""
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        tell(Line("orders", figures.orders))


def tell(line: Line) -> None:
    """Write one line, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    """Read, run, tell."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    tally = uvloop.run(run(job))
    tell(Line("tally", tally.orders, tally))
    return 0


if __name__ == "__main__":
    sys.exit(main())
