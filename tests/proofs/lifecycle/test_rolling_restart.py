"""Two gateways behind HAProxy are restarted one after the other under load: no request fails."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from msgspec import Struct, field

from autogrocery.lab.ports import free_ports
from tests.harness.fake_peers import serve_peers
from tests.harness.gateway_process import START_S, command
from tests.harness.haproxy import Balancer, balanced
from tests.harness.running_gateway import RunningGateway, connect, environ, webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.running_gateway import Device

pytestmark = pytest.mark.timeout(150)
ROUNDS = 1
CLIENTS = 24
PAUSE_S = 0.12  # two requests an order: below the rate limit of a device at one gateway
STOP_DELAY_S = 1.0
SIGTERM_TO_EXIT_S = 20.0


class Outcome(Struct):
    """What devices saw: finished orders, and every request without the expected status."""

    finished: int = 0
    failures: list[str] = field(default_factory=list)


class Replica(Struct):
    """One gateway of the pair: its variables, its output, and its process, which restarts replace."""

    variables: dict[str, str]
    directory: Path
    process: asyncio.subprocess.Process

    async def restart(self) -> None:
        """Stop as an operator does, wait for the end, and start again."""
        self.process.terminate()
        async with asyncio.timeout(SIGTERM_TO_EXIT_S):
            assert await self.process.wait() == 0
        self.process = await _launch(self.variables, self.directory)


async def _launch(variables: dict[str, str], directory: Path) -> asyncio.subprocess.Process:
    with (directory / "out").open("ab") as out, (directory / "err").open("ab") as err:
        process: asyncio.subprocess.Process = await command(variables, out, err)
    return process


@asynccontextmanager
async def pair(dsn: str, directory: Path) -> AsyncIterator[tuple[RunningGateway, Balancer, list[Replica]]]:
    """Run two gateways on one database behind a balancer; the RunningGateway's requests go through it."""
    ports = free_ports(4)
    async with serve_peers() as (inventory, pricing, target):
        replicas = []
        try:
            for number, (public, internal) in enumerate(zip(ports[:2], ports[2:], strict=True)):
                home = directory / f"gateway{number}"
                await asyncio.to_thread(home.mkdir)
                variables = environ(
                    dsn, target, public, internal, AUTOGROCERY_HOME=str(home), STOP_DELAY_S=str(STOP_DELAY_S)
                )
                replicas.append(Replica(variables, home, await _launch(variables, home)))
            async with (
                balanced(directory, ports[:2], ports[2:]) as balancer,
                connect(dsn, [balancer.public, balancer.internal], inventory, pricing) as gateway,
            ):
                yield gateway, balancer, replicas
        finally:
            for replica in replicas:
                if replica.process.returncode is None:
                    replica.process.kill()
                await replica.process.wait()


async def order_until(stopping: asyncio.Event, device: Device, outcome: Outcome) -> None:
    """Make orders one after the other, each from its preview to inventory's webhook; never repeat a request."""
    while not stopping.is_set():
        try:
            preview = await device.preview()
            replies = {"preview": (preview, 201)}
            if preview.status == 201:
                order_id = preview.json["order_id"]
                replies["confirm"] = (await device.confirm(order_id), 200)
                replies["webhook"] = (await device.gateway.send_webhook(webhook_body(order_id)), 200)
            failed = [
                f"{kind}: {reply.status} {reply.body!r}"
                for kind, (reply, wanted) in replies.items()
                if reply.status != wanted
            ]
        except aiohttp.ClientError as error:
            failed = [f"{type(error).__name__}: {error}"]
        outcome.failures.extend(failed)
        outcome.finished += not failed
        await asyncio.sleep(PAUSE_S)


async def test_no_request_fails_while_two_gateways_are_restarted_in_turn(
    module_dsn: str, tmp_path: Path, record_property: Any
) -> None:
    outcome, stopping = Outcome(), asyncio.Event()
    async with pair(module_dsn, tmp_path) as (gateway, balancer, replicas):
        devices = [await gateway.device() for _ in range(CLIENTS)]
        clients = [asyncio.create_task(order_until(stopping, device, outcome)) for device in devices]

        async def is_whole() -> bool:
            return await balancer.servers_up() == 2 * len(replicas)

        began = time.monotonic()
        for _ in range(ROUNDS):
            for replica in replicas:
                before = outcome.finished
                await replica.restart()
                await until(is_whole, START_S, 0.1)
                assert outcome.finished > before  # the other one went on
        stopping.set()
        await asyncio.gather(*clients)
        audit = await gateway.request("GET", "/internal/audit", inside=True)
    record_property("orders", outcome.finished)
    record_property("seconds", round(time.monotonic() - began, 1))
    assert outcome.failures == []
    assert audit.json["clean"], audit.json
