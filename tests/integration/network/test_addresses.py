"""Addresses to listen on: IPv6 everywhere, the true reason of a failed bind, printed addresses that can be opened."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from grpc_health.v1 import health_pb2

from autogrocery.cli import network
from autogrocery.cli.demo_accounts import DEMO_FILE
from autogrocery.kit.bus import open_publisher, open_subscriber
from autogrocery.kit.http.app import App
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.process.listening import cannot_listen, reachable
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError, address, grpc_target, web_url
from autogrocery.kit.rpc.channel import open_channel, stub_of
from autogrocery.kit.rpc.server import serve
from autogrocery.lab.network.options import web_address
from autogrocery.lab.ports import PortTakenError, check_free, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SETTING = "SOME_ADDR"


@asynccontextmanager
async def http_listener(host: str, port: int) -> AsyncIterator[int]:
    async with serve_http(App([], None, max_in_flight=1), host, port, SETTING) as bound:
        yield bound


@asynccontextmanager
async def grpc_listener(host: str, port: int) -> AsyncIterator[int]:
    async with serve(SETTING, host, port, {}) as bound:
        yield bound


@asynccontextmanager
async def zmq_listener(host: str, port: int) -> AsyncIterator[int]:
    place = f"[{host}]" if ":" in host else host
    async with open_publisher(SETTING, f"tcp://{place}:{port}", point="test"):
        yield port


LISTENERS = {"http": http_listener, "grpc": grpc_listener, "zmq": zmq_listener}


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "::"])
async def test_http_listens_on_ipv6(host: str) -> None:
    async with (
        http_listener(host, 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://[::1]:{port}/nothing") as response,
    ):
        assert response.status == 404


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "::", "*", "0.0.0.0"])
async def test_grpc_listens_on_every_form_of_address_and_is_reached_by_it(host: str) -> None:
    async with grpc_listener(host, 0) as port:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        async with open_channel(target) as channel:
            health = stub_of(channel, health_pb2.DESCRIPTOR.services_by_name["Health"])
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout_s=5.0)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@needs_ipv6
@pytest.mark.parametrize("host", ["[::1]", "[::]", "*", "0.0.0.0", "127.0.0.1", "localhost"])
async def test_zmq_listens_on_every_form_of_address_and_is_reached_by_it(host: str) -> None:
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(open_publisher(SETTING, f"tcp://{host}:{port}", point="test"))
        subscriber = await stack.enter_async_context(open_subscriber([f"tcp://{host}:{port}"]))
        receiving = asyncio.ensure_future(subscriber.recv_multipart())
        async with asyncio.timeout(10):
            while not receiving.done():
                publisher.send(b"hello")
                await asyncio.wait({receiving}, timeout=0.02)
        assert receiving.result() == [b"hello"]


@pytest.mark.parametrize("kind", LISTENERS)
async def test_failed_bind_says_the_true_reason(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        (port,) = free_ports(1)
        for host, wanted, reason in (
            ("127.0.0.1", taken, f"127.0.0.1:{taken} is in use"),
            ("192.0.2.1", port, "192.0.2.1 is no address of this machine"),
            ("no-such-host.invalid", port, "the name no-such-host.invalid is unknown"),
            ("é" * 70, port, "is unknown"),
        ):
            with pytest.raises(StartError) as refused:
                async with LISTENERS[kind](host, wanted):
                    pass
            assert str(refused.value).startswith(f"{SETTING}: ")
            assert reason in str(refused.value)
            assert ("in use" in str(refused.value)) == (wanted == taken)


@needs_ipv6
@pytest.mark.parametrize("kind", LISTENERS)
async def test_port_in_use_on_ipv6_is_told(kind: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=f"]:{port} is in use"):
            async with LISTENERS[kind]("::1", port):
                pass
        with pytest.raises(PortTakenError, match=f"port {port} is in use: set SOME_ADDR"):
            check_free("::1", port, SETTING)


@pytest.mark.parametrize(
    ("code", "port", "reason"),
    [
        (errno.EACCES, 80, "lacks the privilege for ports below 1,024: set SOME_ADDR"),
        (errno.EPERM, 5050, "lacks the privilege for it"),
        (errno.EAFNOSUPPORT, 80, "this machine has no IPv6"),
        (errno.ENODEV, 80, "(No such device)"),
    ],
)
def test_reason_of_a_bind_that_this_machine_would_not_refuse(code: int, port: int, reason: str) -> None:
    assert reason in cannot_listen(SETTING, "::1", port, OSError(code, os.strerror(code)))


def test_unknown_name_is_told_by_the_check_of_ports() -> None:
    with pytest.raises(PortTakenError, match=r"the name no-such-host\.invalid is unknown: set SOME_ADDR"):
        check_free("no-such-host.invalid", 5050, SETTING)


@pytest.mark.parametrize("value", ["", ",", "x", "tcp://x", "tcp://127.0.0.1:99999", "tcp://[::1", "udp://h:1", ">"])
async def test_malformed_zmq_address_names_the_setting(value: str) -> None:
    with pytest.raises(SettingsError, match="SOME_ADDR is malformed: expected"):
        async with open_publisher(SETTING, value, point="test"):
            pass
    if value.strip(",>"):
        with pytest.raises(SettingsError, match="SOME_ADDR is malformed: expected"):
            async with open_subscriber([value], setting=SETTING):
                pass


@pytest.mark.parametrize(
    "value", ["x", "[::1", "[::1:5", "::1]:5", "h:99999", "http://h:1", "u@h:1", "h h:1", ":1", "[]:1"]
)
def test_malformed_address_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="SOME_ADDR is malformed"):
        address(SETTING, value)
    with pytest.raises(SettingsError, match="SOME_ADDR is malformed"):
        grpc_target(SETTING, value)


@pytest.mark.parametrize(
    "value", ["http://", "http://[::1", "http://h:port", "http://h:99999", "ftp://h", "h:1", "http:// ", "http://h/a b"]
)
def test_malformed_url_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="SOME_URL is malformed"):
        web_url("SOME_URL", value)


@pytest.mark.parametrize(
    ("bound", "opened"),
    [
        ("*:1", "127.0.0.1:1"),
        ("tcp://*:5556", "tcp://127.0.0.1:5556"),
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("[::]:50051", "[::1]:50051"),
        ("[::0]:1", "[::1]:1"),
        ("tcp://[::]:1", "tcp://[::1]:1"),
        ("dns:///0.0.0.0:1", "dns:///127.0.0.1:1"),
        ("10.0.0.7:1", "10.0.0.7:1"),
        ("[::1]:1", "[::1]:1"),
        ("ipc:///tmp/x", "ipc:///tmp/x"),
        ("unix:/tmp/x", "unix:/tmp/x"),
    ],
)
def test_address_of_all_interfaces_is_reached_by_loopback(bound: str, opened: str) -> None:
    assert reachable(bound) == opened


def test_up_prints_addresses_that_can_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / DEMO_FILE).write_text('["demo", "a password"]')
    bound = {
        "ORDERING_HTTP_ADDR": "0.0.0.0:1",
        "INVENTORY_GRPC_ADDR": "[::]:2",
        "PRICING_GRPC_ADDR": "0.0.0.0:3",
        "ROBOTS_ZMQ_ADDR": "tcp://*:4",
        "ANALYTICS_ZMQ_ADDR": "@tcp://[::]:5,tcp://0.0.0.0:6",
    }
    stack: Any = SimpleNamespace(
        url_public=web_address("*:1"), url_internal=web_address("[::]:7", "https"), env=bound, home=tmp_path, pids={}
    )
    network._announce(stack)
    printed = capsys.readouterr().out
    assert not any(unopenable in printed for unopenable in ("*", "@tcp", "0.0.0.0", "[::]"))
    for opened in ("http://127.0.0.1:1", "https://[::1]:7", "[::1]:2", "tcp://127.0.0.1:4", "tcp://[::1]:5"):
        assert opened in printed
