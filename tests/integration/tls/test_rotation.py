"""A running process reloads replaced key files at its next connection, if they are valid."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from autogrocery.contracts import identities
from autogrocery.kit.http.app import App
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.grpcio_channel import RotatingChannel
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.security.tls import Identity, tls_arguments
from autogrocery.lab.network import pki
from autogrocery.lab.network.home import write_private
from autogrocery.pricing import rpc as pricing
from tests.harness.tls_endpoints import TIMEOUT_S, certificate_at, foreign_client_context, identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from autogrocery.kit.rpc.channel import Transport

NOTHING: Any = None


def web(shown: Identity) -> AbstractAsyncContextManager[int]:
    return serve_http(App([]), "127.0.0.1", 0, "ADDR", identity=shown)


def grpc_(shown: Identity) -> AbstractAsyncContextManager[int]:
    return serve("ADDR", "127.0.0.1", 0, {}, identity=shown)


SERVERS: dict[str, Callable[[Identity], AbstractAsyncContextManager[int]]] = {"web": web, "grpc": grpc_}


@pytest.mark.parametrize("kind", SERVERS)
async def test_server_presents_renewed_certificate_on_new_connections(keys: Path, own_keys: Path, kind: str) -> None:
    client = identity(keys, "operator")
    async with SERVERS[kind](identity(own_keys, "gateway")) as port:
        first = await certificate_at(port, client)
        assert await certificate_at(port, client) == first
        pki.renew(own_keys)
        assert await certificate_at(port, client) != first


@pytest.mark.parametrize("kind", SERVERS)
async def test_server_trusts_the_new_ca_and_not_the_old_one(
    keys: Path, strangers: Path, own_keys: Path, kind: str
) -> None:
    async with SERVERS[kind](identity(own_keys, "gateway")) as port:
        await certificate_at(port, identity(keys, "operator"))
        with pytest.raises(OSError, match=r"(?i)alert|eof|reset|pipe"):
            await certificate_at(port, identity(strangers, "operator"))
        for name in ("ca.crt", "gateway.crt", "gateway.key"):
            write_private(own_keys / name, (strangers / name).read_bytes())
        await certificate_at(port, identity(strangers, "operator"))
        with pytest.raises(OSError, match=r"(?i)alert|eof|reset|pipe"):
            await certificate_at(port, foreign_client_context(strangers, keys, "operator"))


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_grpc_client_presents_renewed_certificate(keys: Path, own_keys: Path, transport: Transport) -> None:
    seen: list[str] = []

    class Prices(pricing.Pricing):
        async def GetPrice(self, request: Any, call: Any) -> Any:
            seen.append(call.certificate["serialNumber"])
            return await super().GetPrice(request, call)

    methods = pricing.methods(Prices(NOTHING, currency="USD", margin_percent=0))
    async with (
        serve("ADDR", "127.0.0.1", 0, methods, identity=identity(keys, "pricing"), callers=pricing.CALLERS) as port,
        open_channel(
            f"127.0.0.1:{port}", identity(own_keys, "gateway"), identities.PRICING, transport=transport
        ) as channel,
    ):
        price = channel.raw(f"/{pricing.SERVICE}/GetPrice")
        for _ in range(2):
            await price(b"", timeout_s=TIMEOUT_S)
            certificate = x509.load_pem_x509_certificate((own_keys / "gateway.crt").read_bytes())
            assert int(seen[-1], 16) == certificate.serial_number
            pki.renew(own_keys)
        assert len(set(seen)) == 2


async def test_channel_keeps_at_most_one_older_connection(own_keys: Path) -> None:
    channel = RotatingChannel("127.0.0.1:1", identity(own_keys, "gateway"), identities.PRICING, ())
    method = channel.unary_unary(f"/{pricing.SERVICE}/GetPrice")
    for _ in range(4):
        pki.renew(own_keys)
        method(b"").cancel()
    assert len(channel._channels) == 2
    await channel.close()


async def test_http_client_uses_the_renewed_certificate(own_keys: Path) -> None:
    shown = identity(own_keys, "inventory")
    first = tls_arguments(identities.GATEWAY, shown)
    assert tls_arguments(identities.GATEWAY, shown) == first  # equal arguments, so that aiohttp reuses its connections
    pki.renew(own_keys)
    assert tls_arguments(identities.GATEWAY, shown)["ssl"] is not first["ssl"]


@pytest.mark.parametrize("damage", ["half", "gone", "strange", "open"])
def test_unusable_files_are_ignored_until_they_are_valid(
    keys: Path, strangers: Path, own_keys: Path, damage: str
) -> None:
    shown = identity(own_keys, "gateway")
    before = shown.current()
    key = own_keys / "gateway.key"
    if damage == "half":
        write_private(own_keys / "gateway.crt", (strangers / "gateway.crt").read_bytes())
    elif damage == "gone":
        key.unlink()
    elif damage == "strange":
        write_private(key, b"no key")
    else:
        key.chmod(0o644)
        os.utime(key)
    assert shown.current() is before
    shutil.copyfile(keys / "gateway.crt", own_keys / "gateway.crt")
    write_private(key, (keys / "gateway.key").read_bytes())
    after = shown.current()
    assert (after is not before, after.certificate) == (True, (keys / "gateway.crt").read_bytes())


async def test_files_are_checked_once_per_interval(own_keys: Path) -> None:
    shown = Identity(own_keys / "ca.crt", own_keys / "gateway.crt", own_keys / "gateway.key", check_every_s=3_600)
    before = shown.current()
    pki.renew(own_keys)
    assert shown.current() is before
