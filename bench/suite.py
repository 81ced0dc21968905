"""The runs of each part: closed loops beside pgbench, whole network, open loops, logins, mail, filled tables."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import bcrypt
from msgspec import Struct

from bench.environment import GATEWAY, Environment, count_violations, open_environment
from bench.job import BEGAN, ENDED, PROGRESS, Job, LoadEvent, Login
from bench.mail_sink import SinkCommand
from bench.measure import LoadTarget, Run, make_baskets, measure
from bench.network import open_network
from bench.pgbench import open_pgbench_database, run_pgbench
from bench.record import Case, Comparison, MailEffect
from bench.table_growth import TableGrowth, fill_tables, make_receipts_due, measure_reads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.measure import Hooks, OnEvent

HALF, HALF_CONNECTIONS = 0.5, 256
OVERLOAD, OVERLOAD_CONNECTIONS = 3.0, 1_024  # more than a gateway admits at a time
LOGIN_CONNECTIONS, LOGIN_DEVICES, BCRYPT_COST = 8, 2, 12
MAIL_ROUNDS, SLOW_S, BURST = 3, 1.0, 1_000
PASSWORD = "a long enough password"  # noqa: S105 - of devices in a temporary database


class Bench(Struct, frozen=True):
    """What all parts share. `announce(title)` prints a run's title and returns the callback for its events."""

    server: EmbeddedPostgres
    seconds: float
    settings: dict[str, str]
    announce: Callable[[str], OnEvent]

    async def run(
        self,
        environment: Environment,
        title: str,
        *,
        connections: int,
        lines: int,
        rate: float | None = None,
        logins: Sequence[Login] = (),
        hooks: Hooks | None = None,
        more_receipts: int = 0,
    ) -> Run:
        """Make one run in an environment; for `hooks` and `more_receipts` see `measure`."""
        job = Job(
            ports=environment.ports,
            connections=connections,
            seconds=self.seconds,
            tokens=environment.tokens,
            rate=rate,
            baskets=make_baskets(lines),
            webhook_key=environment.keys.webhooks,
            logins=list(logins),
        )
        audit = partial(count_violations, environment.dsn)
        target = LoadTarget(environment.dsn, environment.pids, audit, environment.sink)
        return await measure(target, job, self.announce(title), hooks=hooks, more_receipts=more_receipts)


async def compare(bench: Bench, connections: int, gateways: int, lines: int, rounds: int) -> Comparison:
    """Run pgbench and the gateway in turn, in closed loops, on one server, each with its own database."""
    dsn = await open_pgbench_database(bench.server)
    results, runs = [], []
    async with open_environment(
        bench.server, gateways=gateways, connections=connections, settings=bench.settings
    ) as environment:
        for turn in range(1, rounds + 1):
            suffix = f"{lines} lines" + f", round {turn}" * (rounds > 1)
            bench.announce(f"pgbench, {connections} clients, {suffix}")
            results.append(
                await run_pgbench(bench.server, dsn, clients=connections, seconds=bench.seconds, lines=lines)
            )
            title = f"{gateways} gateway{'s' * (gateways > 1)}, {connections} connections, {suffix}"
            runs.append(await bench.run(environment, title, connections=connections, lines=lines))
    return Comparison(connections=connections, gateways=gateways, lines=lines, pgbench=results, runs=runs)


async def switched(bench: Bench, connections: int, lines: int, without: str) -> Case:
    """Order in a closed loop with the optimization `without` switched off, with all of them if it is empty."""
    program = ("-m", "bench.without", without) if without else GATEWAY
    async with open_environment(
        bench.server, connections=connections, program=program, settings=bench.settings
    ) as environment:
        title = f"{connections} connections, {f'without {without}' if without else 'as it is'}"
        run = await bench.run(environment, title, connections=connections, lines=lines)
    return Case(connections=connections, gateways=1, lines=lines, run=run)


async def whole(bench: Bench, connections: int) -> Case:
    """Order in the whole network; the run ends when robots have finished all orders."""
    async with open_network(connections, bench.settings) as network:
        job = Job(
            ports=network.ports,
            connections=connections,
            seconds=bench.seconds,
            tokens=network.tokens,
            baskets=network.baskets,
            sends_webhooks=False,
        )
        run = await measure(network.target, job, bench.announce(f"whole network, {connections} connections"))
        return Case(connections=connections, gateways=1, lines=round(network.lines, 1), run=run)


async def open_loop(bench: Bench, rate: float, connections: int, lines: int) -> Case:
    """Begin `rate` orders a second, however long they take."""
    async with open_environment(bench.server, connections=connections, settings=bench.settings) as environment:
        title = f"open loop, {rate:.0f} orders/s due"
        run = await bench.run(environment, title, connections=connections, lines=lines, rate=rate)
    return Case(connections=connections, gateways=1, lines=lines, rate=round(rate, 1), run=run)


async def logins(bench: Bench, lines: int) -> list[Case]:
    """Order on LOGIN_CONNECTIONS, first without logins, then while LOGIN_DEVICES log in without pause."""
    cases = []
    async with open_environment(bench.server, connections=LOGIN_CONNECTIONS, settings=bench.settings) as environment:
        names = [f"login-{number}" for number in range(LOGIN_DEVICES)]
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
        connection = await asyncpg.connect(environment.dsn)
        try:
            await connection.executemany(
                "INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)", [(name, hashed) for name in names]
            )
        finally:
            await connection.close()
        for accounts in ([], [Login(name, PASSWORD) for name in names]):
            title = f"{LOGIN_CONNECTIONS} connections, {len(accounts)} devices logging in"
            run = await bench.run(environment, title, connections=LOGIN_CONNECTIONS, lines=lines, logins=accounts)
            cases.append(Case(connections=LOGIN_CONNECTIONS, gateways=1, lines=lines, run=run, logins=len(accounts)))
    return cases


async def mail(bench: Bench, rate: float, lines: int) -> MailEffect:
    """Order in an open loop, in turn with a usual mail server, a slow one, and with a burst of receipts due at once."""
    runs: dict[str, list[Run]] = {"usual": [], "slow": [], "bursts": []}
    async with open_environment(bench.server, connections=HALF_CONNECTIONS, settings=bench.settings) as environment:
        sink = environment.sink
        assert sink is not None
        on_event = bench.announce(f"inserting {MAIL_ROUNDS * BURST:,} finished orders")
        await fill_tables(environment.dsn, MAIL_ROUNDS * BURST, lambda count: on_event(LoadEvent(PROGRESS, count)))
        for turn in range(1, MAIL_ROUNDS + 1):
            kinds: dict[str, tuple[Hooks, int]] = {
                "usual": ({}, 0),
                "slow": (
                    {
                        BEGAN: partial(sink.command, SinkCommand(delay_s=SLOW_S)),
                        ENDED: partial(sink.command, SinkCommand(delay_s=0.0)),  # so that the wait for them is short
                    },
                    0,
                ),
                "bursts": ({BEGAN: partial(make_receipts_due, environment.dsn, BURST)}, BURST),
            }
            for kind, (hooks, more_receipts) in kinds.items():
                title = f"open loop, {rate:.0f} orders/s due, mail server: {kind}, round {turn}"
                run = await bench.run(
                    environment,
                    title,
                    connections=HALF_CONNECTIONS,
                    lines=lines,
                    rate=rate,
                    hooks=hooks,
                    more_receipts=more_receipts,
                )
                runs[kind].append(run)
    return MailEffect(
        connections=HALF_CONNECTIONS, lines=lines, rate=round(rate, 1), slow_s=SLOW_S, burst=BURST, **runs
    )


async def table_growth(bench: Bench, orders: int, connections: int, lines: int) -> TableGrowth:
    """Order, then read orders, with `orders` finished ones in the tables."""
    async with open_environment(bench.server, connections=connections, settings=bench.settings) as environment:
        on_event = bench.announce(f"inserting {orders:,} finished orders")
        await fill_tables(environment.dsn, orders, lambda count: on_event(LoadEvent(PROGRESS, count)))
        run = await bench.run(
            environment,
            f"{connections} connections, with {orders:,} finished orders in the tables",
            connections=connections,
            lines=lines,
        )
        bench.announce("reading orders, one request at a time")
        return TableGrowth(
            orders=orders, run=run, read_ms=await measure_reads(environment.ports[0].public, environment.tokens)
        )
