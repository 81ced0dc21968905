"""Overload: requests are refused by the time that they would wait, and each refusal says which bound it met."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack, asynccontextmanager
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct
from prometheus_client import REGISTRY

from autogrocery.kit.http.app import App, Route
from autogrocery.kit.http.overload import PLACES, QUEUE_SHARE, AdmissionQueue, Bound
from autogrocery.kit.http.server import serve_http
from tests.harness.http_probe import PATIENCE_S, Stage, ask, guard, request, served, until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RESET = struct.pack("ii", 1, 0)  # a socket that lingers for no time is reset when it is closed
MAX_WAIT_S = 5.0 * QUEUE_SHARE
STALL_S = 1.0


class Outcome(Struct):
    """What a simulated load saw: the seconds that each admitted request waited for its place, and the refusals."""

    waits_s: list[float]
    refused: int
    ended: int


class Machine:
    """A queue before a machine that ends `rate_per_s` requests a second, in time that this object makes pass."""

    def __init__(self, rate_per_s: float, places: int = PLACES) -> None:
        self.now_s = 0.0
        self.outcome = Outcome([], 0, 0)
        self.rate_per_s = rate_per_s
        self._queue = AdmissionQueue(places, MAX_WAIT_S, lambda: self.now_s)
        self._arrived_s: dict[int, float] = {}
        self._working: list[int] = []

    def arrive(self, number: int) -> bool:
        """Return whether a new request is admitted."""
        if self._queue.is_full():
            self.outcome.refused += 1
            return False
        self._arrived_s[number] = self.now_s
        if self._queue.enter(number):
            self._begin(number)
        return True

    def _begin(self, number: int) -> None:
        self.outcome.waits_s.append(self.now_s - self._arrived_s.pop(number))
        self._working.append(number)

    def end_next(self) -> int | None:
        """End the request that began first, after the time that one takes; returns its number."""
        self.now_s += 1 / self.rate_per_s
        if not self._working:
            return None
        ended = self._working.pop(0)
        self.outcome.ended += 1
        following = self._queue.leave()
        if following is not None:
            self._begin(following)
        return ended


def closed_loop(machine: Machine, clients: int, for_s: float, stall_at_s: float = 0.0) -> Outcome:
    """Let each client send its next request when the one before has ended, or a second after it was refused.

    From `stall_at_s` the machine does nothing for STALL_S seconds.
    """
    due: list[tuple[float, int]] = [(0.0, client) for client in range(clients)]
    while machine.now_s < for_s:
        if stall_at_s and machine.now_s > stall_at_s:
            machine.now_s += STALL_S
            stall_at_s = 0.0
        while due and due[0][0] <= machine.now_s:
            _, client = heappop(due)
            if not machine.arrive(client):
                heappush(due, (machine.now_s + 1.0, client))
        ended = machine.end_next()
        if ended is not None:
            heappush(due, (machine.now_s, ended))
    return machine.outcome


def open_loop(machine: Machine, rate_per_s: float, for_s: float) -> Outcome:
    """Let requests come at a rate, whatever becomes of them."""
    came = 0
    while machine.now_s < for_s:
        while came < machine.now_s * rate_per_s:
            machine.arrive(came)
            came += 1
        machine.end_next()
    return machine.outcome


@pytest.mark.parametrize("clients", [64, 128, 512])
@pytest.mark.parametrize("rate_per_s", [320.0, 700.0, 3_000.0])  # a slow minute of half a machine; a quick machine
def test_connections_that_wait_for_their_answers_are_not_refused(clients: int, rate_per_s: float) -> None:
    outcome = closed_loop(Machine(rate_per_s), clients, for_s=10.0)
    assert outcome.refused == 0
    assert outcome.ended >= 0.95 * 10.0 * rate_per_s


def test_stall_of_a_second_is_no_reason_to_refuse() -> None:
    assert closed_loop(Machine(700.0), 512, for_s=6.0, stall_at_s=3.0).refused == 0


def test_burst_onto_an_idle_server_is_not_refused() -> None:
    machine = Machine(rate_per_s=2_000.0)
    for _ in range(3):
        assert all(machine.arrive(number) for number in range(1_000))
        while machine.end_next() is not None:
            pass
        machine.now_s += 10.0


@pytest.mark.parametrize("rate_per_s", [100.0, 700.0, 3_000.0])
def test_three_times_the_peak_leaves_the_peak_and_bounds_the_wait(rate_per_s: float) -> None:
    outcome = open_loop(Machine(rate_per_s), 3 * rate_per_s, for_s=30.0)
    assert outcome.ended >= 0.98 * 30.0 * rate_per_s
    assert outcome.refused == pytest.approx(2 / 3 * 90.0 * rate_per_s, rel=0.1)
    assert max(outcome.waits_s) <= 1.2 * MAX_WAIT_S


def test_queue_before_a_machine_that_stalls_is_full_after_the_longest_wait() -> None:
    machine = Machine(rate_per_s=1_000.0, places=1)
    assert machine.arrive(1)
    assert machine.arrive(2)
    machine.now_s += MAX_WAIT_S
    assert machine.arrive(3)
    machine.now_s += 0.01
    assert not machine.arrive(4)


def test_queue_admits_again_when_the_machine_is_quick_again() -> None:
    machine = Machine(rate_per_s=50.0, places=4)
    open_loop(machine, 200.0, for_s=5.0)
    assert not all(machine.arrive(number) for number in range(-10, 0))
    machine.rate_per_s = 1_000.0
    for _ in range(40):
        machine.end_next()
    assert machine.arrive(-11)


# Over HTTP


def shed_count(bound: Bound) -> float:
    return REGISTRY.get_sample_value("http_requests_shed_total", {"bound": bound.value[0]}) or 0.0


@asynccontextmanager
async def one_place(stage: Stage, **bounds: float) -> AsyncIterator[tuple[App, int]]:
    """An application whose one place for sheddable requests is taken until `stage.go_on` is set."""
    table = [
        Route("GET", "/begin", stage.hold, auth=False, sheddable=True),
        Route("POST", "/open", stage.basket, auth=False, body=dict),
        Route("GET", "/alive", stage.basket, auth=False, urgent=True),
    ]
    app = App(table, guard(), places=1, **bounds)  # type: ignore[arg-type]
    async with serve_http(app, "127.0.0.1", 0, "TEST_ADDR") as port, wire(port) as line:
        await line.send(request("GET", "/begin"))
        await until(stage.entered)
        yield app, port
        stage.go_on.set()
        assert (await line.reply()).status in {200, 503}


async def in_flight(app: App, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while app.in_flight != count:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.01)


async def waiting(app: App, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while app.waiting != count:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.01)


async def test_sheddable_request_waits_for_a_place_and_the_others_do_not(stage: Stage) -> None:
    async with one_place(stage) as (app, port), wire(port) as line:
        await line.send(request("GET", "/begin"))
        await waiting(app, 1)
        assert (await ask(port, "POST", "/open", b"{}")).status == 200
        stage.go_on.set()
        assert (await line.reply()).status == 200


async def test_queue_past_its_time_refuses_sheddable_requests_only(stage: Stage) -> None:
    before = shed_count(Bound.QUEUE)
    async with one_place(stage, action_deadline_s=2.0) as (app, port), wire(port) as line:
        await line.send(request("GET", "/begin"))
        await waiting(app, 1)
        await asyncio.sleep(2.0 * QUEUE_SHARE + 0.1)
        reply = await ask(port, "GET", "/begin")
        assert (reply.status, reply.code, reply.json["detail"]) == (503, "overloaded", Bound.QUEUE.value[1])
        assert int(reply.headers["retry-after"]) >= 1
        assert shed_count(Bound.QUEUE) == before + 1
        assert (await ask(port, "POST", "/open", b"{}")).status == 200
        assert (await ask(port, "GET", "/alive")).status == 200
        stage.go_on.set()
        assert (await line.reply()).status == 200
        assert (await ask(port, "GET", "/begin")).status == 200


async def test_request_whose_deadline_ends_in_the_queue_is_503_and_never_begins(stage: Stage) -> None:
    async with one_place(stage, action_deadline_s=0.3) as (app, port), wire(port) as line:
        stage.entered.clear()
        await line.send(request("GET", "/begin"))
        reply = await line.reply()
        assert (reply.status, reply.code) == (503, "overloaded")
        stage.go_on.set()
        await in_flight(app, 0)
    assert not stage.entered.is_set()


async def test_request_whose_client_hangs_up_in_the_queue_never_begins(stage: Stage) -> None:
    async with one_place(stage) as (app, port):
        stage.entered.clear()
        async with wire(port) as line:
            await line.send(request("GET", "/begin"))
            await waiting(app, 1)
            line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            line.writer.transport.abort()
        assert (await ask(port, "GET", "/alive")).status == 200  # the server has seen the reset by now
        stage.go_on.set()
        await in_flight(app, 0)
    assert not stage.entered.is_set()


async def test_sheddable_requests_leave_half_of_the_capacity_to_the_others(stage: Stage) -> None:
    table = [
        Route("GET", "/begin", stage.hold, auth=False, sheddable=True),
        Route("GET", "/hold", stage.hold, auth=False),
    ]
    app = App(table, guard(), max_in_flight=4)
    async with serve_http(app, "127.0.0.1", 0, "TEST_ADDR") as port, AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(wire(port)) for _ in range(6)]
        for line in lines[:4]:
            await line.send(request("GET", "/begin"))
        for number, line in enumerate(lines[4:], start=3):
            await line.send(request("GET", "/hold"))
            await in_flight(app, number)
        reply = await ask(port, "GET", "/hold")
        assert (reply.code, reply.json["detail"]) == ("overloaded", Bound.IN_FLIGHT.value[1])
        stage.go_on.set()
        assert [(await line.reply()).status for line in lines] == [200] * 6


async def test_each_other_bound_is_counted_and_told(stage: Stage) -> None:
    async with (
        served(stage, max_in_flight=1, max_streams=1, listener={"max_connections": 2}) as port,
        wire(port) as line,
        wire(port) as other,
    ):
        before = {bound: shed_count(bound) for bound in Bound}
        await other.send(request("GET", "/events"))
        await other.reply()
        await line.send(request("GET", "/events"))
        details = {Bound.STREAMS: (await line.reply()).json["detail"]}
        await line.send(request("GET", "/hold") + request("GET", "/alive"))
        await until(stage.entered)
        async with wire(port) as third:
            details[Bound.CONNECTIONS] = (await third.reply()).json["detail"]
        stage.go_on.set()
        assert [(await line.reply()).status for _ in range(2)] == [200, 200]
    async with served(Stage(), max_in_flight=0) as port:
        details[Bound.IN_FLIGHT] = (await ask(port, "GET", "/hold")).json["detail"]
        assert (await ask(port, "GET", "/alive")).status == 200
    assert details == {bound: bound.value[1] for bound in (Bound.STREAMS, Bound.CONNECTIONS, Bound.IN_FLIGHT)}
    assert {bound: shed_count(bound) - before[bound] for bound in details} == dict.fromkeys(details, 1.0)
