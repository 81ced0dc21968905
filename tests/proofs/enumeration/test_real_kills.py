"""A gateway process ended by SIGKILL at every I/O point of the order operations, and replaced by another."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.faults import Mode
from autogrocery.lab.ports import free_ports
from tests.harness import figures
from tests.harness.running_gateway import CANCEL, CONFIRM, PREVIEW, RunningGateway, environ, webhook_body
from tests.harness.waiting import until
from tests.proofs.enumeration.fault_plans import EVERYTHING
from tests.proofs.enumeration.gateway_environment import GatewayEnvironment, open_gateway_environment
from tests.proofs.enumeration.injection import record_points
from tests.proofs.enumeration.order_scenarios import ORDERS, PICKED
from tests.proofs.enumeration.scenario import Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.proofs.enumeration.injection import Point
    from tests.proofs.enumeration.scenario import Scenario

TIMEOUT_S = 20.0
KILLED_SCENARIOS = ("preview", "confirm", "cancel", "cancel while processing", "webhook")
RETRIED_ERRORS = (aiohttp.ClientConnectionError, TimeoutError)
STARTS = 3


class ForkServer:
    """Client of the `fork_server` process: starts gateways and reports their ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ended: dict[int, asyncio.Event] = {}
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    async def start(self, environment: dict[str, str]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(environment).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT_S):
            return await self._started.get()

    async def has_ended(self, pid: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self._ended[pid].wait()

    def ended(self, pid: int) -> bool:
        return self._ended[pid].is_set()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            pid = int(line)
            if pid > 0:
                self._ended[pid] = asyncio.Event()
                self._started.put_nowait(pid)
            else:
                self._ended[-pid].set()

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading


class KillableGateway(Struct):
    """The environment that outlives every gateway process, and the address that they listen on one after the other."""

    env: GatewayEnvironment
    fork_server: ForkServer
    gateway: RunningGateway
    environment: dict[str, str]

    async def open_gateway(self, faults: str = "") -> int:
        """Start a gateway; again if the recovery of an earlier order met the fault before the request could."""
        for _ in range(STARTS):
            pid = await self.fork_server.start({**self.environment, "AUTOGROCERY_FAULTS": faults})

            async def is_up_or_ended(started: int = pid) -> bool:
                return self.fork_server.ended(started) or await self._answers()

            await until(is_up_or_ended, TIMEOUT_S)
            if not self.fork_server.ended(pid):
                return pid
        raise AssertionError(f"killed before the request: {faults}")

    async def _answers(self) -> bool:
        try:
            return (await self.gateway.request("GET", "/healthz")).status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def kill(self, pid: int) -> None:
        os.kill(pid, 9)
        await self.fork_server.has_ended(pid)

    async def ask(self, name: str, subject: Subject) -> int | None:
        """Send the scenario's request; returns its status, or None if the gateway was killed during it."""
        token = self.gateway.token(subject.user_id, f"device-{subject.user_id}")
        order = {"order_id": str(subject.order_id)}
        items = {"items": [{"sku": "milk", "quantity": 2}, {"sku": "bread", "quantity": 3}]}
        done = webhook_body(
            str(subject.order_id),
            items=[{"sku": sku, "picked": n} for sku, n in PICKED.items()],
            occurred_at="2026-01-01T00:00:00Z",
        )
        calls: dict[str, Callable[[], object]] = {
            "preview": lambda: self.gateway.request(
                "POST", PREVIEW, items, token=token, headers={"idempotency-key": subject.key}
            ),
            "confirm": lambda: self.gateway.request("POST", CONFIRM, order, token=token),
            "cancel": lambda: self.gateway.request("POST", CANCEL, order, token=token),
            "cancel while processing": lambda: self.gateway.request("POST", CANCEL, order, token=token),
            "webhook": lambda: self.gateway.send_webhook(done, webhook_id=f"msg_{subject.key}"),
        }
        try:
            return (await calls[name]()).status  # type: ignore[no-any-return, misc, attr-defined]
        except RETRIED_ERRORS:
            return None


@asynccontextmanager
async def open_killable_gateway(dsn: str, folder: Path) -> AsyncIterator[KillableGateway]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.proofs.enumeration.fork_server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "GATEWAY_LOG": str(folder / "gateway.log")},
    )
    fork_server = ForkServer(process)
    public, internal = free_ports(2)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            open_db(dsn, application="tests") as db,
            open_gateway_environment(db) as env,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session,
        ):
            gateway = RunningGateway(
                f"http://127.0.0.1:{public}",
                f"http://127.0.0.1:{internal}",
                db,
                env.fake_inventory,
                env.fake_pricing,
                session,
            )
            yield KillableGateway(env, fork_server, gateway, environ(dsn, env.target, public, internal))
    finally:
        await fork_server.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", KILLED_SCENARIOS)
async def test_a_gateway_killed_at_any_point_loses_nothing(gateway_dsn: str, tmp_path: Path, name: str) -> None:
    (scenario,) = [scenario for scenario in ORDERS if scenario.name == name]
    async with open_killable_gateway(gateway_dsn, tmp_path) as killable:
        env = killable.env

        async def new_subject() -> Subject:
            key = uuid7().hex
            return Subject(await env.device(f"device-{key}"), key)

        failures: list[str] = []
        kills = 0
        points = await record_points(env, scenario, await new_subject())
        await env.run_loops()  # otherwise the next gateway's own loops pass these points
        for point, mode, retries in choose_faults(points):
            kills += 1
            injection = f"{point.name}:{mode}:{point.nth}"
            violations = await kill(killable, scenario, await new_subject(), injection, retries=retries)
            failures += [
                f"{injection}, {'retries' if retries else 'gives up'}: {violation}" for violation in violations
            ]
        figures.record(operations=1, points=len(points), kills=kills, violations=len(failures))
        assert not failures, "\n".join(failures)


def choose_faults(points: list[Point]) -> list[tuple[Point, Mode, bool]]:
    """Return a kill before and after every point, with a caller that retries and with one that gives up; one of the
    four in the short form."""
    every = list(itertools.product((Mode.KILL_BEFORE, Mode.KILL_AFTER), (True, False)))
    chosen = (every if EVERYTHING else [every[number % len(every)]] for number in range(len(points)))
    return [(point, mode, retries) for point, some in zip(points, chosen, strict=True) for mode, retries in some]


async def kill(
    killable: KillableGateway, scenario: Scenario, subject: Subject, fault: str, *, retries: bool
) -> list[str]:
    env, failures = killable.env, []
    await scenario.prepare(env, subject)
    pid = await killable.open_gateway(fault)
    status = await killable.ask(scenario.name, subject)
    try:
        await killable.fork_server.has_ended(pid)
    except TimeoutError:
        await killable.kill(pid)
        return ["it was not killed"]
    if retries:
        pid = await killable.open_gateway()
        status = await killable.ask(scenario.name, subject)
        failures = [] if status in {200, 201, 202} else [f"the repeat was answered {status}"]
        await killable.kill(pid)
    else:
        await env.expire_quote(subject)
    await env.restart()
    for _ in range(2):
        await env.run_loops(subject)
    if count_owed := await env.count_owed():
        failures.append(f"{count_owed} still owed")
    return failures + await env.violations() + await scenario.check(env, subject, retries)
