"""A whole gateway ended by SIGKILL at every I/O point of an order's deeds, and another one started in its place."""

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

from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.process.faults import Mode
from autogrocery.lab.ports import free_ports
from tests.harness import figures
from tests.harness.running_gateway import CANCEL, CONFIRM, PREVIEW, Shop, environ, picked
from tests.proofs.enumeration.breaking import points_of
from tests.proofs.enumeration.deeds import Subject
from tests.proofs.enumeration.orders import ORDERS, PICKED
from tests.proofs.enumeration.plans import EVERYTHING
from tests.proofs.enumeration.stage import Stage, open_stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.proofs.enumeration.breaking import Point
    from tests.proofs.enumeration.deeds import Scenario

ANSWERS_WITHIN_S = 20.0
KILLED = ("preview", "confirm", "cancel", "cancel while processing", "webhook")
FOLLOWED_BY_A_REPEAT = (aiohttp.ClientConnectionError, TimeoutError)


class Zygote:
    """Starts gateways, and knows when one has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ended: dict[int, asyncio.Event] = {}
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    async def start(self, environment: dict[str, str]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(environment).encode() + b"\n")
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            return await self._started.get()

    async def has_ended(self, pid: int) -> None:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
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


class Street(Struct):
    """The stage that outlives every gateway, and the address at which there is one most of the time."""

    stage: Stage
    zygote: Zygote
    shop: Shop
    environment: dict[str, str]

    async def open_gateway(self, faults: str = "") -> int:
        pid = await self.zygote.start({**self.environment, "AUTOGROCERY_FAULTS": faults})
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            while not await self._answers():
                assert not self.zygote.ended(pid), f"killed before it was asked: {faults}"
                await asyncio.sleep(0.02)
        return pid

    async def _answers(self) -> bool:
        try:
            return (await self.shop.ask("GET", "/healthz")).status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def kill(self, pid: int) -> None:
        os.kill(pid, 9)
        await self.zygote.has_ended(pid)

    async def ask(self, name: str, one: Subject) -> int | None:
        """Make the deed's call; the HTTP status, or None if the gateway died over it."""
        token = self.shop.token(one.user_id, f"device-{one.user_id}")
        order = {"order_id": str(one.order_id)}
        items = {"items": [{"sku": "milk", "quantity": 2}, {"sku": "bread", "quantity": 3}]}
        done = picked(
            str(one.order_id),
            items=[{"sku": sku, "picked": n} for sku, n in PICKED.items()],
            occurred_at="2026-01-01T00:00:00Z",
        )
        calls: dict[str, Callable[[], object]] = {
            "preview": lambda: self.shop.ask("POST", PREVIEW, items, token=token, headers={"idempotency-key": one.key}),
            "confirm": lambda: self.shop.ask("POST", CONFIRM, order, token=token),
            "cancel": lambda: self.shop.ask("POST", CANCEL, order, token=token),
            "cancel while processing": lambda: self.shop.ask("POST", CANCEL, order, token=token),
            "webhook": lambda: self.shop.deliver(done, webhook_id=f"msg_{one.key}"),
        }
        try:
            return (await calls[name]()).status  # type: ignore[no-any-return, misc, attr-defined]
        except FOLLOWED_BY_A_REPEAT:
            return None


@asynccontextmanager
async def open_street(dsn: str, folder: Path) -> AsyncIterator[Street]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.proofs.enumeration.zygote",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "GATEWAY_LOG": str(folder / "gateway.log")},
    )
    zygote = Zygote(process)
    public, internal = free_ports(2)
    timeout = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
    try:
        async with (
            open_db(dsn, application="tests") as db,
            open_stage(db, folder) as stage,
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session,
        ):
            shop = Shop(
                f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}", db, stage.shelf, stage.prices, session
            )
            outside = {"SMTP_URL": stage.smtp_url, "SMS_URL": stage.provider.url}
            yield Street(stage, zygote, shop, environ(dsn, stage.target, public, internal, **outside))
    finally:
        await zygote.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", KILLED)
async def test_a_gateway_killed_at_any_point_loses_nothing(gateway_dsn: str, tmp_path: Path, name: str) -> None:
    (scenario,) = [scenario for scenario in ORDERS if scenario.name == name]
    async with open_street(gateway_dsn, tmp_path) as street:
        stage = street.stage

        async def fresh() -> Subject:
            key = uuid7().hex
            return Subject(await stage.device(f"device-{key}"), key)

        wrong: list[str] = []
        kills = 0
        points = await points_of(stage, scenario, await fresh())
        await stage.sweep()  # else the next gateway passes these points on its own account
        for point, mode, insists in plans(points):
            kills += 1
            broken = f"{point.name}:{mode}:{point.nth}"
            flaws = await kill(street, scenario, await fresh(), broken, insists=insists)
            wrong += [f"{broken}, {'insists' if insists else 'walks away'}: {flaw}" for flaw in flaws]
        figures.tell(deeds=1, points=len(points), kills=kills, violations=len(wrong))
        assert not wrong, "\n".join(wrong)


def plans(points: list[Point]) -> list[tuple[Point, Mode, bool]]:
    """Before and after every point, with a caller that insists and one that walks away; in the short form one of the four."""
    every = list(itertools.product((Mode.KILL_BEFORE, Mode.KILL_AFTER), (True, False)))
    chosen = (every if EVERYTHING else [every[number % len(every)]] for number in range(len(points)))
    return [(point, mode, insists) for point, some in zip(points, chosen, strict=True) for mode, insists in some]


async def kill(street: Street, scenario: Scenario, one: Subject, fault: str, *, insists: bool) -> list[str]:
    stage, wrong = street.stage, []
    await scenario.prepare(stage, one)
    pid = await street.open_gateway(fault)
    status = await street.ask(scenario.name, one)
    try:
        await street.zygote.has_ended(pid)
    except TimeoutError:
        await street.kill(pid)
        return ["it was not killed"]
    if insists:
        pid = await street.open_gateway()
        status = await street.ask(scenario.name, one)
        wrong = [] if status in {200, 201, 202} else [f"the repeat was answered {status}"]
        await street.kill(pid)
    else:
        await stage.time_passes(one)
    await stage.restart()
    for _ in range(2):
        await stage.sweep(one)
    if owed := await stage.owed():
        wrong.append(f"{owed} still owed")
    return wrong + await stage.violations() + await scenario.rest(stage, one, insists)
