"""Mutual TLS of our HTTP/2 client: which servers it talks to, and what a renewed certificate changes."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts import identities
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.status import Code
from autogrocery.lab.authority import IssuedCertificate, issue
from autogrocery.lab.network import pki
from autogrocery.lab.network.home import write_private
from tests.harness.grpc_client import code_of
from tests.harness.grpcio_server import serving_grpcio
from tests.harness.raw_http2 import Session, answer_of, serving_raw
from tests.harness.tls_endpoints import TIMEOUT_S, identity
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


def server_context(keys: Path, name: str, alpn: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / f"{name}.crt", keys / f"{name}.key")
    context.load_verify_locations(keys / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


async def code_at(port: int, keys: Path) -> Code:
    async with open_channel(f"127.0.0.1:{port}", identity(keys, "gateway"), identities.PRICING) as channel:
        return await code_of(channel.raw("/desk/echo")(b"", timeout_s=TIMEOUT_S))


async def test_server_of_grpcio_for_the_name_answers(keys: Path) -> None:
    async with serving_grpcio(identity=identity(keys, "pricing")) as (_, port):
        assert await code_at(port, keys) is Code.OK


@pytest.mark.parametrize("server", ["inventory", "stranger"])
async def test_server_of_grpcio_for_another_name_or_of_another_ca_is_unavailable(
    keys: Path, strangers: Path, server: str
) -> None:
    shown = identity(strangers, "pricing") if server == "stranger" else identity(keys, server)
    async with serving_grpcio(identity=shown) as (desk, port):
        assert await code_at(port, keys) is Code.UNAVAILABLE
        assert desk.calls == 0


async def test_client_without_certificate_of_the_ca_is_unavailable(keys: Path, strangers: Path, tmp_path: Path) -> None:
    for name in ("gateway.crt", "gateway.key"):
        write_private(tmp_path / name, (strangers / name).read_bytes())
    write_private(tmp_path / "ca.crt", (strangers / "ca.crt").read_bytes() + (keys / "ca.crt").read_bytes())
    async with serving_grpcio(identity=identity(keys, "pricing")) as (desk, port):
        assert await code_at(port, tmp_path) is Code.UNAVAILABLE
        assert desk.calls == 0


@pytest.mark.parametrize(
    ("alpn", "code"), [(["h2"], Code.OK), (["http/1.1"], Code.UNAVAILABLE), ([], Code.UNAVAILABLE)]
)
async def test_server_must_agree_on_http2(keys: Path, alpn: list[str], code: Code) -> None:
    tls = server_context(keys, "pricing", alpn)
    async with serving_raw(lambda _, stream: answer_of(stream), tls=tls) as raw:
        assert await code_at(raw.port, keys) is code
        assert raw.requests == (code is Code.OK)


async def test_server_whose_certificate_has_expired_is_unavailable(own_keys: Path) -> None:
    authority = IssuedCertificate((own_keys / "ca.crt").read_bytes(), (own_keys / "ca.key").read_bytes())
    past = issue(authority, (identities.PRICING,), 0, server_auth=True, client_auth=False)
    write_private(own_keys / "past.crt", past.certificate)
    write_private(own_keys / "past.key", past.key)
    tls = server_context(own_keys, "past", ["h2"])
    async with serving_raw(lambda _, stream: answer_of(stream), tls=tls) as raw:
        assert await code_at(raw.port, own_keys) is Code.UNAVAILABLE
        assert raw.requests == 0


async def test_renewed_certificate_moves_new_calls_and_leaves_the_others_where_they_are(own_keys: Path) -> None:
    def answer(_session: Session, stream: int) -> bytes:
        return answer_of(stream) if len(raw.sessions) > 1 else b""

    shown = identity(own_keys, "gateway")
    tls = server_context(own_keys, "pricing", ["h2"])
    async with (
        serving_raw(answer, tls=tls) as raw,
        open_channel(f"127.0.0.1:{raw.port}", shown, identities.PRICING) as channel,
    ):
        echo = channel.raw("/desk/echo")
        before = asyncio.ensure_future(echo(b"", timeout_s=TIMEOUT_S))
        await until(lambda: raw.requests)
        pki.renew(own_keys)
        assert await echo(b"", timeout_s=TIMEOUT_S) == b""
        assert [len(session.of(frames.HEADERS)) for session in raw.sessions] == [1, 1]
        assert raw.sessions[0].of(frames.GOAWAY) == []
        raw.sessions[0].send(answer_of(1))
        assert await before == b""
        await until(lambda: raw.sessions[0].of(frames.GOAWAY))
