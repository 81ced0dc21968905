"""Two gateways as processes of their own on one database, behind HAProxy, and devices that never repeat a request."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
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

CLIENTS = 24
PAUSE_S = 0.12  # two requests an order: below the rate limit of a device at one gateway
STOP_DELAY_S = 1.0
SIGTERM_TO_EXIT_S = 20.0
STOCK = 1_000_000  # no order may fail for want of milk


class Replica(Struct):
    """One gateway of the pair: its variables, its output, and its process, which restarts replace."""

    variables: dict[str, str]
    directory: Path
    process: asyncio.subprocess.Process

    async def restart(self, source: Path | None = None) -> None:
        """Stop as an operator does, and start again, from `source` if it is given; returns when it is ready."""
        self.process.terminate()
        async with asyncio.timeout(SIGTERM_TO_EXIT_S):
            assert await self.process.wait() == 0
        self.process = await launch(self.variables, self.directory, source)
        await until(self._is_ready, START_S, 0.1)

    async def _is_ready(self) -> bool:
        assert self.process.returncode is None, (self.directory / "err").read_text()
        url = f"http://{self.variables['ORDERING_HTTP_ADDR']}/readyz"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


class Outcome(Struct):
    """What devices saw: finished orders, and every request without the expected status."""

    finished: int = 0
    failures: list[str] = field(default_factory=list)


class GatewayPair(Struct):
    """The pair; requests of `gateway` go through the balancer."""

    gateway: RunningGateway
    balancer: Balancer
    replicas: list[Replica]

    async def is_whole(self) -> bool:
        """Whether the balancer sends requests to both."""
        return await self.balancer.servers_up() == 2 * len(self.replicas)

    async def restart_in_turn(self, outcome: Outcome, source: Path | None = None, *, drained: bool = False) -> None:
        """Restart one, and the other when it is back; meanwhile orders must be finished.

        The balancer learns of a stop from the gateway, or, if `drained`, from an operator before it.
        """
        for number, replica in enumerate(self.replicas):
            before = outcome.finished
            if drained:
                await self.balancer.drain(number)
                await asyncio.sleep(STOP_DELAY_S)
            await replica.restart(source)
            if drained:
                await self.balancer.ready(number)
            await until(self.is_whole, START_S, 0.1)
            assert outcome.finished > before, outcome.failures[-3:]

    @asynccontextmanager
    async def ordering(self) -> AsyncIterator[Outcome]:
        """Let devices order until the block ends; then no request may have failed, and the audit must be clean."""
        outcome, stopping = Outcome(), asyncio.Event()
        devices = [await self.gateway.device() for _ in range(CLIENTS)]
        async with asyncio.TaskGroup() as clients:
            for device in devices:
                clients.create_task(_order_until(stopping, device, outcome))
            try:
                yield outcome
            finally:
                stopping.set()
        audit = await self.gateway.request("GET", "/internal/audit", inside=True)
        assert not outcome.failures, outcome.failures[:3]
        assert [one for one in audit.json["invariants"] if one["violations"]] == []


async def launch(variables: dict[str, str], directory: Path, source: Path | None = None) -> asyncio.subprocess.Process:
    """Start a gateway of this checkout, or of the packages in `source`."""
    other = {} if source is None else {"PYTHONPATH": str(source)}
    with (directory / "out").open("ab") as out, (directory / "err").open("ab") as err:
        process: asyncio.subprocess.Process = await command(variables | other, out, err)
    return process


@asynccontextmanager
async def gateway_pair(dsn: str, directory: Path, source: Path | None = None) -> AsyncIterator[GatewayPair]:
    """Run two gateways on one database behind a balancer; yields when both take requests."""
    ports = free_ports(4)
    async with serve_peers() as (inventory, pricing, target):
        inventory.stock["milk"] = STOCK
        replicas = []
        try:
            for number, (public, internal) in enumerate(zip(ports[:2], ports[2:], strict=True)):
                home = directory / f"gateway{number}"
                await asyncio.to_thread(home.mkdir)
                variables = environ(
                    dsn, target, public, internal, AUTOGROCERY_HOME=str(home), STOP_DELAY_S=str(STOP_DELAY_S)
                )
                replicas.append(Replica(variables, home, await launch(variables, home, source)))
            async with (
                balanced(directory, ports[:2], ports[2:]) as balancer,
                connect(dsn, [balancer.public, balancer.internal], inventory, pricing) as gateway,
            ):
                yield GatewayPair(gateway, balancer, replicas)
        finally:
            for replica in replicas:
                if replica.process.returncode is None:
                    replica.process.kill()
                await replica.process.wait()


async def _order_until(stopping: asyncio.Event, device: Device, outcome: Outcome) -> None:
    """Make orders one after the other, each from its preview to inventory's webhook."""
    while not stopping.is_set():
        try:
            failed = await _order(device)
        except (aiohttp.ClientError, AssertionError) as error:  # the latter: the balancer itself has answered
            failed = [f"{type(error).__name__}: {error}"]
        outcome.failures.extend(failed)
        outcome.finished += not failed
        await asyncio.sleep(PAUSE_S)


async def _order(device: Device) -> list[str]:
    preview = await device.preview()
    replies = [("preview", preview, 201)]
    if preview.status == 201:
        order_id = preview.json["order_id"]
        replies.append(("confirm", await device.confirm(order_id), 200))
        replies.append(("webhook", await device.gateway.send_webhook(webhook_body(order_id)), 200))
    return [f"{kind}: {reply.status} {reply.body!r}" for kind, reply, wanted in replies if reply.status != wanted]
