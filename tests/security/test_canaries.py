"""Canaries: secrets, passwords, tokens, addresses and numbers are planted wherever one can be; then nothing that comes out sings."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.kit.rpc.client import grpc, open_channel
from autogrocery.lab.ports import free_ports
from tests.harness.gateway_process import OURS, START_S, open_role
from tests.harness.running_gateway import PATIENCE_S, Device, picked, until
from tests.harness.running_inventory import code_of
from tests.security.callers import robot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.gateway_process import Role
    from tests.harness.running_gateway import Shop

CANARY: Final = "cAnArY"
SECRETS: Final = {
    "JWT_SECRET": f"{CANARY}-of-the-tokens-of-devices-",
    "ROBOT_JWT_SECRET": f"{CANARY}-of-the-tokens-of-robots--",
    "SMTP_URL": f"smtp://{CANARY}-user:{CANARY}-password@127.0.0.1:1",
}
PASSWORD: Final = f"{CANARY} password"
EMAIL: Final = f"{CANARY}@example.org"
PHONE: Final = "+15550107788"
BIRDS: Final = (CANARY, CANARY.encode().hex(), PHONE, PHONE[1:], "107788", "eyJ", "$2b$", "scram", "postgresql://")


class Heard:
    """Whatever came out of a process, by where it came out."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def keep(self, where: str, text: str | bytes) -> None:
        self.texts[f"{len(self.texts)} {where}"] = text if isinstance(text, str) else text.decode("utf-8", "replace")

    def keep_files(self, directory: Path) -> None:
        for file in directory.rglob("*"):
            if file.is_file():
                self.keep(f"file {file.name}", file.read_bytes())

    def singing(self, *more: str) -> list[str]:
        return [f"{where}: {bird}" for where, text in self.texts.items() for bird in (*BIRDS, *more) if bird in text]


async def ask(heard: Heard, shop: Shop, method: str, path: str, body: Any = None, **named: Any) -> Any:
    """Ask, and keep what is said unless it is what was asked for: the tokens, one's own entry."""
    reply = await shop.ask(method, path, body, **named)
    if reply.status >= 400 or named.get("inside"):
        heard.keep(f"{reply.status} {method} {path[:40]}", reply.body)
    return reply


async def live(heard: Heard, shop: Shop) -> list[str]:
    """Use the doors well and badly, with a canary in each field; returns the tokens that were given out."""
    entry = {"device_id": f"{CANARY}-1", "password": PASSWORD, "email": EMAIL, "phone": PHONE}
    register, login, refresh = (f"/api/client/{verb}" for verb in ("register", "login", "refresh"))
    login_in = {"device_id": entry["device_id"], "password": PASSWORD}
    assert (await ask(heard, shop, "POST", register, entry)).status == 201
    first = (await ask(heard, shop, "POST", login, login_in)).json
    second = (await ask(heard, shop, "POST", refresh, token=first["refresh_token"])).json
    for token in (first["refresh_token"] + "x", first["access_token"], second["access_token"][:-2], "x" * 5_000):
        await ask(heard, shop, "POST", refresh, token=token)
        await ask(heard, shop, "GET", "/api/client/orders", token=token[:-1])
    for name in ("device_id", "password", "email", "phone"):
        for value in (f"{CANARY}\0", [CANARY], {CANARY: 1}, None, 7, f"{CANARY} \u202e", CANARY * 40):
            await ask(heard, shop, "POST", register, entry | {name: value, "device_id": entry["device_id"]})
    await ask(heard, shop, "POST", login, login_in | {"password": PASSWORD + "x"})
    for raw in (
        f'{{"password":"{PASSWORD}"',
        f'["{PASSWORD}"]',
        f'{{"{CANARY}":1,"{CANARY}":2}}',
        f'{{"device_id":{CANARY}}}',
    ):
        await ask(heard, shop, "POST", login, raw=raw.encode())
    device = Device(shop, 1, entry["device_id"], second["access_token"])
    for path in (
        f"/{CANARY}",
        f"/api/client/orders/{CANARY}",
        f"/api/client/orders?cursor={CANARY}",
        f"/api/client/orders?token={CANARY}",
    ):
        await ask(
            heard,
            shop,
            "GET",
            path,
            token=device.token,
            headers={"x-request-id": f"<{CANARY}>", "user-agent": CANARY, "cookie": CANARY},
        )
    await ask(
        heard,
        shop,
        "POST",
        "/api/client/password",
        {"password": CANARY, "new_password": PASSWORD + "2"},
        token=device.token,
    )
    order_id = await device.processing()
    await shop.deliver(picked(order_id))  # its receipt can't be sent: the log says so
    heard.keep("forged webhook", (await shop.deliver(picked(order_id), key="whsec_" + "enpo" * 11)).body)
    for path in ("/metrics", "/status", "/internal/audit", "/internal/metrics-log", "/internal/disabled", "/readyz"):
        await ask(heard, shop, "GET", path, inside=True)
    for path in ("/openapi.json", "/docs", "/readyz"):
        heard.keep(path, (await shop.ask("GET", path)).body)
    return [pair[name] for pair in (first, second) for name in ("access_token", "refresh_token")]


def command_lines(pid: int) -> Iterator[bytes]:
    yield Path(f"/proc/{pid}/cmdline").read_bytes()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from command_lines(int(child))


async def failed_receipt(role: Role) -> bool:
    row = await role.shop.db.row("SELECT attempts FROM receipt_outbox")
    return row is not None and row["attempts"] > 0


async def test_no_canary_sings_from_the_gateway(gateway_dsn: str, tmp_path: Path) -> None:
    heard = Heard()
    home = tmp_path / "home"
    home.mkdir()
    async with open_role(gateway_dsn, home, **SECRETS) as role:
        given_out = await live(heard, role.shop)
        await until(lambda: failed_receipt(role))
        for line in command_lines(role.process.pid):
            heard.keep("command line", line)
        os.kill(role.process.pid, signal.SIGABRT)
        await asyncio.wait_for(role.process.wait(), PATIENCE_S)
        assert role.process.returncode == -signal.SIGABRT
    heard.keep_files(home)
    assert list(Path.cwd().glob("core*")) == []
    assert len(heard.texts) >= 60
    assert "order_finished" in (home / "err").read_text()
    assert heard.singing(*given_out) == []


async def test_no_canary_sings_from_inventory(inventory_dsn: str, tmp_path: Path) -> None:
    heard = Heard()
    port, bus = free_ports(2)
    secret = f"{CANARY}-of-the-tokens-of-robots--"
    environ = OURS | {
        "DATABASE_URL": inventory_dsn,
        "ROBOT_JWT_SECRET": secret,
        "WEBHOOK_SECRET": f"{CANARY}-of-webhooks-and-of-nothing-else",
        "INVENTORY_GRPC_ADDR": f"127.0.0.1:{port}",
        "ROBOTS_ZMQ_ADDR": f"tcp://127.0.0.1:{bus}",
        "GATEWAY_WEBHOOK_URL": "http://127.0.0.1:1",
    }
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "autogrocery", "inventory", env=environ, stdout=log, stderr=log, cwd=tmp_path
        )
    good, other = robot("dairy-1", "dairy", key=secret), robot("dairy-1", "dairy")
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            stub = InventoryServiceStub(channel)

            async def status(token: str, robot_id: str = "dairy-1") -> str:
                call = stub.Heartbeat(
                    pb.HeartbeatRequest(robot_id=robot_id), metadata=(("authorization", f"Bearer {token}"),), timeout=5
                )
                try:
                    await call
                except grpc.aio.AioRpcError as error:
                    heard.keep("status", f"{error.code()} {error.details()} {error.trailing_metadata()}")
                    return error.code().name
                return "OK"

            async def is_up() -> bool:
                return await status(good) == "OK"

            await until(is_up, START_S)
            assert [
                await status(token, name) for token, name in ((other, "dairy-1"), (good, "meat-1"), (CANARY, "dairy-1"))
            ] == ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNAUTHENTICATED"]
            bad = pb.ReserveItemsRequest(order_id=CANARY, items=[pb.Item(sku=CANARY, quantity=-1)], hold_seconds=9)
            assert (await code_of(stub.ReserveItems(bad))).name == "INVALID_ARGUMENT"
        for line in command_lines(process.pid):
            heard.keep("command line", line)
    finally:
        process.send_signal(signal.SIGABRT)
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    heard.keep_files(tmp_path)
    assert heard.singing(good, other) == []
