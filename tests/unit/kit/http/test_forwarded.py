"""X-Forwarded-For: the last address that is no trusted proxy's, and only from a trusted proxy."""

from __future__ import annotations

import pytest

from autogrocery.kit.http.app import App, Request, Route
from autogrocery.kit.http.forwarded import TrustedProxies
from autogrocery.kit.http.server import serve_http
from tests.harness.http_probe import ask, request, wire

PROXIES = "127.0.0.1, 10.0.0.0/8,2001:db8::/32"
FIELDS = {
    "one address": ("203.0.113.7", "203.0.113.7"),
    "a proxy behind it": ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
    "what the client wrote before it": ("192.0.2.1, 203.0.113.7,10.1.2.3", "203.0.113.7"),
    "proxies only": ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
    "a port": ("203.0.113.7:4711", "203.0.113.7"),
    "IPv6": ("2001:db9::7, 2001:db8::1", "2001:db9::7"),
    "IPv6 in brackets": ("[2001:db9::7]", "2001:db9::7"),
    "IPv6 in brackets with a port": ("[2001:db9::7]:4711, [2001:db8::1]:80", "2001:db9::7"),
    "nothing": ("", "10.0.0.1"),
    "no address": ("unknown", "10.0.0.1"),
    "no address behind one": ("203.0.113.7, unknown", "10.0.0.1"),
    "an empty entry": ("203.0.113.7,", "10.0.0.1"),
    "an unclosed bracket": ("[2001:db9::7", "2001:db9::7"),
    "bytes beyond ASCII": ("203.0.113.7, \xff", "10.0.0.1"),
}


@pytest.mark.parametrize(("field", "client"), FIELDS.values(), ids=FIELDS)
def test_field_from_a_trusted_proxy_names_the_client(field: str, client: str) -> None:
    assert TrustedProxies(PROXIES).client("10.0.0.1", field.encode("latin-1")) == client


@pytest.mark.parametrize(("trusted", "peer"), [("", "127.0.0.1"), (PROXIES, "192.0.2.1"), (PROXIES, "")])
def test_field_from_anyone_else_is_ignored(trusted: str, peer: str) -> None:
    assert TrustedProxies(trusted).client(peer, b"203.0.113.7") == peer


def test_missing_field_leaves_the_peer() -> None:
    assert TrustedProxies(PROXIES).client("10.0.0.1", None) == "10.0.0.1"


def test_malformed_network_raises() -> None:
    with pytest.raises(ValueError, match="has host bits set"):
        TrustedProxies("10.0.0.1/8")


async def client_of(seen: Request) -> dict[str, str]:
    return {"client": seen.client}


async def test_each_request_of_a_proxys_connection_has_its_own_client() -> None:
    app = App([Route("GET", "/client", client_of, auth=False)])
    async with (
        serve_http(app, "127.0.0.1", 0, "TEST_ADDR", trusted_proxies="127.0.0.1") as port,
        wire(port) as line,
    ):
        for client in ("203.0.113.7", "203.0.113.8"):
            await line.send(request("GET", "/client", headers={"x-forwarded-for": client}))
            assert (await line.reply()).json == {"client": client}
        twice = b"GET /client HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
        await line.send(twice)
        assert (await line.reply()).json == {"client": "203.0.113.9"}
        assert (await ask(port, "GET", "/client")).json == {"client": "127.0.0.1"}
