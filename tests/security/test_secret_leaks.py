"""Secret leaks: marked secrets, passwords, tokens and personal data are sent everywhere; no output contains them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.status import RpcError
from autogrocery.lab.ports import free_ports
from tests.harness.gateway_process import OURS, START_S, start_gateway_process
from tests.harness.grpc_client import INVENTORY, code_of, patient_stub
from tests.harness.running_gateway import TIMEOUT_S, Device, webhook_body
from tests.harness.waiting import until
from tests.security.callers import robot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.gateway_process import GatewayProcess
    from tests.harness.running_gateway import RunningGateway

MARK: Final = "cAnArY"
SECRETS: Final = {
    "JWT_SECRET": f"{MARK}-of-the-tokens-of-devices-",
    "ROBOT_JWT_SECRET": f"{MARK}-of-the-tokens-of-robots--",
    "NOTIFIER": "child",
    "SMTP_URL": f"smtp://{MARK}-user:{MARK}-password@127.0.0.1:1",
}
PASSWORD: Final = f"{MARK} password"
EMAIL: Final = f"{MARK}@example.org"
PHONE: Final = "+15550107788"
FORBIDDEN: Final = (MARK, MARK.encode().hex(), PHONE, PHONE[1:], "107788", "eyJ", "$2b$", "scram", "postgresql://")


class Output:
    """Everything that a process returned, logged or wrote, by its origin."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def keep(self, where: str, text: str | bytes) -> None:
        self.texts[f"{len(self.texts)} {where}"] = text if isinstance(text, str) else text.decode("utf-8", "replace")

    def keep_files(self, directory: Path) -> None:
        for file in directory.rglob("*"):
            if file.is_file():
                self.keep(f"file {file.name}", file.read_bytes())

    def leaks(self, *more: str) -> list[str]:
        return [
            f"{where}: {word}" for where, text in self.texts.items() for word in (*FORBIDDEN, *more) if word in text
        ]


async def ask(output: Output, gateway: RunningGateway, method: str, path: str, body: Any = None, **named: Any) -> Any:
    """Send a request, and keep the response unless it legitimately contains secrets: tokens, the own registry entry."""
    reply = await gateway.request(method, path, body, **named)
    if reply.status >= 400 or named.get("inside"):
        output.keep(f"{reply.status} {method} {path[:40]}", reply.body)
    return reply


async def use_every_route(output: Output, gateway: RunningGateway) -> list[str]:
    """Send valid and invalid requests with the mark in each field; return the tokens that were issued."""
    entry = {"device_id": f"{MARK}-1", "password": PASSWORD, "email": EMAIL, "phone": PHONE}
    register, login, refresh = (f"/api/client/{verb}" for verb in ("register", "login", "refresh"))
    login_in = {"device_id": entry["device_id"], "password": PASSWORD}
    assert (await ask(output, gateway, "POST", register, entry)).status == 201
    first = (await ask(output, gateway, "POST", login, login_in)).json
    second = (await ask(output, gateway, "POST", refresh, token=first["refresh_token"])).json
    for token in (first["refresh_token"] + "x", first["access_token"], second["access_token"][:-2], "x" * 5_000):
        await ask(output, gateway, "POST", refresh, token=token)
        await ask(output, gateway, "GET", "/api/client/orders", token=token[:-1])
    for name in ("device_id", "password", "email", "phone"):
        for value in (f"{MARK}\0", [MARK], {MARK: 1}, None, 7, f"{MARK} \u202e", MARK * 40):
            await ask(output, gateway, "POST", register, entry | {name: value, "device_id": entry["device_id"]})
    await ask(output, gateway, "POST", login, login_in | {"password": PASSWORD + "x"})
    for raw in (
        f'{{"password":"{PASSWORD}"',
        f'["{PASSWORD}"]',
        f'{{"{MARK}":1,"{MARK}":2}}',
        f'{{"device_id":{MARK}}}',
    ):
        await ask(output, gateway, "POST", login, raw=raw.encode())
    device = Device(gateway, 1, entry["device_id"], second["access_token"])
    for path in (
        f"/{MARK}",
        f"/api/client/orders/{MARK}",
        f"/api/client/orders?cursor={MARK}",
        f"/api/client/orders?token={MARK}",
    ):
        await ask(
            output,
            gateway,
            "GET",
            path,
            token=device.token,
            headers={"x-request-id": f"<{MARK}>", "user-agent": MARK, "cookie": MARK},
        )
    await ask(
        output,
        gateway,
        "POST",
        "/api/client/password",
        {"password": MARK, "new_password": PASSWORD + "2"},
        token=device.token,
    )
    order_id = await device.processing()
    await gateway.send_webhook(webhook_body(order_id))  # its receipt can't be sent, which is logged
    output.keep("forged webhook", (await gateway.send_webhook(webhook_body(order_id), key="whsec_" + "enpo" * 11)).body)
    for path in ("/metrics", "/status", "/internal/audit", "/internal/metrics-log", "/internal/disabled", "/readyz"):
        await ask(output, gateway, "GET", path, inside=True)
    for path in ("/openapi.json", "/docs", "/readyz"):
        output.keep(path, (await gateway.request("GET", path)).body)
    return [pair[name] for pair in (first, second) for name in ("access_token", "refresh_token")]


def command_lines(pid: int) -> Iterator[bytes]:
    yield Path(f"/proc/{pid}/cmdline").read_bytes()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from command_lines(int(child))


async def failed_receipt(role: GatewayProcess) -> bool:
    row = await role.gateway.db.row("SELECT attempts FROM receipt_outbox")
    return row is not None and row["attempts"] > 0


async def test_gateway_output_contains_no_secret(gateway_dsn: str, tmp_path: Path) -> None:
    output = Output()
    home = tmp_path / "home"
    home.mkdir()
    async with start_gateway_process(gateway_dsn, home, **SECRETS) as role:
        issued = await use_every_route(output, role.gateway)
        await until(lambda: failed_receipt(role))
        for line in command_lines(role.process.pid):
            output.keep("command line", line)
        os.kill(role.process.pid, signal.SIGABRT)
        await asyncio.wait_for(role.process.wait(), TIMEOUT_S)
        assert role.process.returncode == -signal.SIGABRT
    output.keep_files(home)
    assert list(Path.cwd().glob("core*")) == []
    assert len(output.texts) >= 60
    assert "order_finished" in (home / "err").read_text()
    assert output.leaks(*issued) == []


async def test_inventory_output_contains_no_secret(inventory_dsn: str, tmp_path: Path) -> None:
    output = Output()
    port, bus = free_ports(2)
    secret = f"{MARK}-of-the-tokens-of-robots--"
    environ = OURS | {
        "DATABASE_URL": inventory_dsn,
        "ROBOT_JWT_SECRET": secret,
        "WEBHOOK_SECRET": f"{MARK}-of-webhooks-and-of-nothing-else",
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
            stub = patient_stub(channel, INVENTORY)

            async def status(token: str, robot_id: str = "dairy-1") -> str:
                try:
                    await stub.Heartbeat(pb.HeartbeatRequest(robot_id=robot_id), token=token)
                except RpcError as error:
                    output.keep("status", f"{error!r} {error.detail}")
                    return error.code.name
                return "OK"

            async def is_up() -> bool:
                return await status(good) == "OK"

            await until(is_up, START_S)
            assert [
                await status(token, name) for token, name in ((other, "dairy-1"), (good, "meat-1"), (MARK, "dairy-1"))
            ] == ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNAUTHENTICATED"]
            bad = pb.ReserveItemsRequest(order_id=MARK, items=[pb.Item(sku=MARK, quantity=-1)], hold_seconds=9)
            assert (await code_of(stub.ReserveItems(bad))).name == "INVALID_ARGUMENT"
        for line in command_lines(process.pid):
            output.keep("command line", line)
    finally:
        process.send_signal(signal.SIGABRT)
        await asyncio.wait_for(process.wait(), TIMEOUT_S)
    output.keep_files(tmp_path)
    assert output.leaks(good, other) == []
