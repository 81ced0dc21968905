"""The runs, part by part: closed loops, duels with pgbench, the whole network, open loops, logins beside orders."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import bcrypt
from msgspec import Struct

from bench.grown import Grown, fill, look
from bench.job import Job, Line, Login
from bench.measure import Place, Run, baskets_of, measure
from bench.pgbench import open_yardstick, run_pgbench
from bench.record import Case, Duel
from bench.stage import GATEWAY, Stage, count_violations, open_stage
from bench.whole import open_network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.measure import Watch

HALF_CONNECTIONS = 256
OVERLOAD, OVERLOAD_CONNECTIONS = 3.0, 1_024  # more than a gateway takes at once
LOGIN_CONNECTIONS, LOGIN_DEVICES, BCRYPT_COST = 8, 2, 12
PASSWORD = "a long enough password"  # noqa: S105 - of throw-away devices


class Bench(Struct, frozen=True):
    """What all parts share. `say(what)` names the run that begins and returns who watches it."""

    server: EmbeddedPostgres
    seconds: float
    settings: dict[str, str]
    say: Callable[[str], Watch]

    async def run(
        self,
        stage: Stage,
        what: str,
        *,
        connections: int,
        lines: int,
        rate: float | None = None,
        logins: Sequence[Login] = (),
    ) -> Run:
        """Make one run on a stage."""
        job = Job(
            doors=stage.doors,
            connections=connections,
            seconds=self.seconds,
            tokens=stage.tokens,
            rate=rate,
            baskets=baskets_of(lines),
            webhook_key=stage.keys.webhooks,
            logins=list(logins),
        )
        place = Place(stage.dsn, stage.pids, partial(count_violations, stage.dsn))
        return await measure(place, job, self.say(what))


async def closed(bench: Bench, connections: int, gateways: int, lines: int, *, without: str = "") -> Case:
    """Every connection orders without pause; `without` takes one thing out of the gateway that makes it fast."""
    what = f"closed loop, {connections} connections, {gateways} gateway{'s' * (gateways > 1)}"
    program = ("-m", "bench.without", without) if without else GATEWAY
    async with open_stage(
        bench.server, gateways=gateways, connections=connections, program=program, settings=bench.settings
    ) as stage:
        what += f", without {without}" * bool(without)
        run = await bench.run(stage, what, connections=connections, lines=lines)
    return Case(connections=connections, gateways=gateways, lines=lines, run=run)


async def duel(bench: Bench, connections: int, lines: int, rounds: int, *, unary_only: bool = False) -> Duel:
    """Run pgbench and ours in turn, on one server, each on a database of its own."""
    dsn = await open_yardstick(bench.server)
    theirs, ours = [], []
    kind = "unary peers" if unary_only else "stream peers"
    async with open_stage(
        bench.server, connections=connections, unary_only=unary_only, settings=bench.settings
    ) as stage:
        for turn in range(1, rounds + 1):
            bench.say(f"pgbench, {connections} clients, {lines} lines, round {turn}")
            theirs.append(await run_pgbench(bench.server, dsn, clients=connections, seconds=bench.seconds, lines=lines))
            what = f"ours, {connections} connections, {lines} lines, {kind}, round {turn}"
            ours.append(await bench.run(stage, what, connections=connections, lines=lines))
    return Duel(connections=connections, lines=lines, unary_only=unary_only, pgbench=theirs, ours=ours)


async def whole(bench: Bench, connections: int) -> Case:
    """Order in a network of the shipped peers; robots' work and webhooks count until nothing is owed."""
    async with open_network(connections, bench.settings) as network:
        job = Job(
            doors=network.doors,
            connections=connections,
            seconds=bench.seconds,
            tokens=network.tokens,
            baskets=network.baskets,
            delivers=False,
        )
        run = await measure(network.place, job, bench.say(f"whole network, {connections} connections"))
        return Case(connections=connections, gateways=1, lines=round(network.lines, 1), run=run)


async def open_loop(bench: Bench, rate: float, connections: int, lines: int) -> Case:
    """Orders are due at a rate, whatever becomes of them."""
    async with open_stage(bench.server, connections=connections, settings=bench.settings) as stage:
        what = f"open loop, {rate:.0f} orders/s due"
        run = await bench.run(stage, what, connections=connections, lines=lines, rate=rate)
    return Case(connections=connections, gateways=1, lines=lines, rate=round(rate, 1), run=run)


async def logins(bench: Bench, lines: int) -> list[Case]:
    """Order at few connections alone, then beside two devices that log in without pause."""
    cases = []
    async with open_stage(bench.server, connections=LOGIN_CONNECTIONS, settings=bench.settings) as stage:
        names = [f"login-{number}" for number in range(LOGIN_DEVICES)]
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
        connection = await asyncpg.connect(stage.dsn)
        try:
            await connection.executemany(
                "INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)", [(name, hashed) for name in names]
            )
        finally:
            await connection.close()
        for busy in ([], [Login(name, PASSWORD) for name in names]):
            what = f"{LOGIN_CONNECTIONS} connections, {len(busy)} devices logging in"
            run = await bench.run(stage, what, connections=LOGIN_CONNECTIONS, lines=lines, logins=busy)
            cases.append(Case(connections=LOGIN_CONNECTIONS, gateways=1, lines=lines, run=run, logins=len(busy)))
    return cases


async def grown(bench: Bench, orders: int, connections: int, lines: int) -> Grown:
    """Order, and look at orders, with so many finished ones in the tables."""
    async with open_stage(bench.server, connections=connections, settings=bench.settings) as stage:
        watch = bench.say(f"{orders:,} orders are put in")
        await fill(stage.dsn, orders, lambda count: watch(Line("orders", count)))
        run = await bench.run(stage, f"{connections} connections beside them", connections=connections, lines=lines)
        bench.say("looking at orders, one request at a time")
        return Grown(orders=orders, run=run, looks_ms=await look(stage.doors[0].public, stage.tokens))
