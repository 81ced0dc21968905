"""Password guessing: failed logins get one answer and growing waits, and delay no other account or address."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import aiohttp
import bcrypt
import pytest
from msgspec import Struct

from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.store import devices
from tests.harness.running_gateway import RunningGateway, serve_gateway
from tests.integration.gateway.accounts.conftest import PASSWORD, AccountsGateway, Reply, open_accounts_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

LOGIN = "/api/client/login"
FREE_FAILURES = 5


class Clock(Struct):
    """A clock that a test sets."""

    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
async def gateway(gateway_db: Db) -> AsyncIterator[AccountsGateway]:
    async with open_accounts_gateway(gateway_db) as gateway:
        yield gateway


async def guess(
    gateway: AccountsGateway, name: str = "fridge-1", password: str = "wrong horse", **headers: str
) -> Reply:
    return await gateway.request(
        "POST", gateway.public + LOGIN, {"device_id": name, "password": password}, None, **headers
    )


@asynccontextmanager
async def from_another_address(gateway: AccountsGateway) -> AsyncIterator[AccountsGateway]:
    """The same gateway, called from another address of this machine."""
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield AccountsGateway(gateway.db, gateway.accounts, session, gateway.public, gateway.internal)


@pytest.mark.parametrize("name", ["fridge-1", "nobody", "truck-1", "closed-1", "a\0b", "x" * 2_000])
async def test_sixth_failed_login_returns_429_for_known_and_unknown_devices(
    gateway: AccountsGateway, name: str
) -> None:
    for one, kind in (("fridge-1", Kind.DEVICE), ("truck-1", Kind.TRUCK), ("closed-1", Kind.DEVICE)):
        await gateway.add(one, kind)
    await devices.disable(gateway.db, "closed-1", Kind.DEVICE)
    assert [(await guess(gateway, name)).code for _ in range(FREE_FAILURES)] == ["invalid_credentials"] * FREE_FAILURES
    reply = await guess(gateway, name, PASSWORD)
    assert (reply.status, reply.code) == (429, "rate_limited")
    assert int(reply.headers["retry-after"]) >= 1


async def test_delayed_login_computes_no_hash(gateway_db: Db) -> None:
    async with open_accounts_gateway(gateway_db, bcrypt_cost=10) as gateway:
        wrong_s = []
        for _ in range(FREE_FAILURES):
            began = time.perf_counter()
            await guess(gateway, "nobody")
            wrong_s.append(time.perf_counter() - began)
        waited_s = []
        for _ in range(3):
            began = time.perf_counter()
            assert (await guess(gateway, "nobody")).status == 429
            waited_s.append(time.perf_counter() - began)
    assert min(waited_s) < min(wrong_s) / 5


async def test_owner_logs_in_from_another_address_during_the_wait(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    for _ in range(FREE_FAILURES):
        await guess(gateway)
    assert (await guess(gateway, password=PASSWORD)).status == 429
    async with from_another_address(gateway) as owner:
        await owner.log_in()
    assert (await guess(gateway, password=PASSWORD)).status == 429  # the owner's login does not end the attacker's wait


async def test_login_after_retry_after_succeeds_and_resets_the_count(gateway_db: Db) -> None:
    clock = Clock()
    async with open_accounts_gateway(gateway_db, clock=clock) as gateway:
        await gateway.add("fridge-1")
        for _ in range(FREE_FAILURES):
            await guess(gateway)
        for _ in range(2):
            clock.at += float((await guess(gateway, password=PASSWORD)).headers["retry-after"])
            await gateway.log_in()
            assert [(await guess(gateway)).status for _ in range(FREE_FAILURES - 1)] == [401] * (FREE_FAILURES - 1)
            assert (await guess(gateway)).status == 401


async def test_concurrent_failed_logins_are_limited_like_sequential_ones(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    replies = await asyncio.gather(*(guess(gateway) for _ in range(40)))
    assert sum(reply.status == 401 for reply in replies) <= FREE_FAILURES
    assert sum(reply.status == 429 for reply in replies) >= 40 - FREE_FAILURES


async def test_internal_login_has_the_same_back_off(gateway: AccountsGateway) -> None:
    body = {"device_id": "op-1", "password": "wrong horse"}
    statuses = [(await gateway.post("/internal/login", body, inside=True)).status for _ in range(FREE_FAILURES + 1)]
    assert statuses == [401] * FREE_FAILURES + [429]


async def test_password_change_has_the_same_back_off(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    token = (await gateway.log_in())["access_token"]
    body = {"password": "wrong horse", "new_password": "another battery"}
    replies = [await gateway.post("/api/client/password", body, token) for _ in range(FREE_FAILURES + 1)]
    assert [reply.status for reply in replies] == [401] * FREE_FAILURES + [429]


async def test_busy_logins_are_not_counted_as_failures(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    gateway.accounts.passwords._timeout_s = 0.0
    assert {(await guess(gateway)).code for _ in range(FREE_FAILURES * 2)} == {"busy"}
    gateway.accounts.passwords._timeout_s = 5.0
    await gateway.log_in()


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_hash_of_password_above_72_bytes_logs_in_and_is_not_replaced(
    gateway: AccountsGateway, prefix: str
) -> None:
    password = "long horse battery " * 10
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", prefix)
    await gateway.db.run("INSERT INTO smart_devices (device_id, password) VALUES ('old-1', $1)", hashed)
    gateway.accounts.passwords.cost = 5
    await gateway.log_in("old-1", password)
    row = await gateway.db.row("SELECT password FROM smart_devices")
    assert row is not None
    assert row["password"] == hashed  # a new hash would cover only the first 72 bytes of the password


async def test_rehash_does_not_overwrite_a_changed_password(gateway: AccountsGateway) -> None:
    user_id = await gateway.add("fridge-1")
    known = await devices.get(gateway.db, "fridge-1")
    assert known is not None
    chosen, rehashed = [await gateway.accounts.passwords.hash(word) for word in ("another battery", PASSWORD)]
    # The password changes after a login has verified the old hash and before it stores the rehashed one.
    assert await devices.change_password(gateway.db, user_id, known.password, chosen)
    await devices.rehash(gateway.db, user_id, known.password, rehashed)
    await gateway.log_in(password="another battery")
    assert (await guess(gateway, password=PASSWORD)).status == 401


async def test_concurrent_logins_that_rehash_leave_one_valid_hash(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    gateway.accounts.passwords.cost = 5
    replies = await asyncio.gather(*(guess(gateway, password=PASSWORD) for _ in range(FREE_FAILURES)))
    assert {reply.status for reply in replies} == {200}
    row = await gateway.db.row("SELECT password FROM smart_devices")
    assert row is not None
    assert row["password"].startswith("$2b$05$")
    await gateway.log_in()


async def test_forwarded_for_of_an_untrusted_peer_is_ignored(gateway: AccountsGateway) -> None:
    for number in range(FREE_FAILURES):
        await guess(gateway, "nobody", **{"x-forwarded-for": f"203.0.113.{number}"})
    assert (await guess(gateway, "nobody", **{"x-forwarded-for": "198.51.100.9"})).status == 429


async def test_forwarded_for_of_a_trusted_proxy_is_used_up_to_its_last_hop(gateway_db: Db) -> None:
    async with open_accounts_gateway(gateway_db, trusted_proxies="127.0.0.1, 10.0.0.0/8") as gateway:
        for number in range(FREE_FAILURES):  # the client writes the first, the proxy adds the last
            await guess(gateway, "nobody", **{"x-forwarded-for": f"192.0.2.{number}, 203.0.113.7, 10.1.2.3"})
        replies = [
            await guess(gateway, "nobody", **{"x-forwarded-for": each}) for each in ("203.0.113.7", "198.51.100.9")
        ]
        assert [reply.status for reply in replies] == [429, 401]
        async with from_another_address(gateway) as stranger:  # 127.0.0.2 is not a trusted proxy
            reply = await guess(stranger, "nobody", **{"x-forwarded-for": "203.0.113.7"})
            assert reply.status == 401


async def test_rate_limits_follow_settings_and_are_reported_in_headers(gateway_db: Db) -> None:
    async with open_accounts_gateway(
        gateway_db, rate_logins_per_s=0.1, rate_logins_burst=2, rate_registrations_burst=1
    ) as gateway:
        await gateway.add("fridge-1")
        replies = [await guess(gateway, password=PASSWORD) for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert [reply.headers["ratelimit"].split(";")[1] for reply in replies] == ["r=1", "r=0", "r=0"]
        assert replies[2].headers["ratelimit-policy"] == '"logins";q=2;w=20'
        assert int(replies[2].headers["retry-after"]) >= 10
        made = await gateway.post("/api/client/register", {"device_id": "fridge-2", "password": PASSWORD})
        assert made.status == 201  # each limit counts separately


async def confirm_times_s(gateway: RunningGateway, until: asyncio.Event | None = None) -> list[float]:
    device = await gateway.device()
    took_s = []
    for _ in range(15):
        order_id = await device.previewed()
        began = time.perf_counter()
        assert (await device.confirm(order_id)).status == 200
        took_s.append(time.perf_counter() - began)
    if until is not None:
        until.set()
    return took_s


async def test_login_flood_does_not_slow_confirms(gateway_dsn: str) -> None:
    async def flood(gateway: RunningGateway, number: int, enough: asyncio.Event) -> int:
        tried = 0
        while not enough.is_set():
            body: dict[str, Any] = {"device_id": f"ghost-{number}-{tried}", "password": PASSWORD}
            assert (await gateway.request("POST", LOGIN, body)).status in {401, 429, 503}
            tried += 1
        return tried

    async with serve_gateway(gateway_dsn, BCRYPT_COST="11") as gateway:
        await confirm_times_s(gateway)
        alone_s = await confirm_times_s(gateway)
        enough = asyncio.Event()
        flooding = [asyncio.create_task(flood(gateway, number, enough)) for number in range(8)]
        among_s = await confirm_times_s(gateway, enough)
        assert sum(await asyncio.gather(*flooding)) > 0
    assert median(among_s) < max(4 * median(alone_s), 0.1), (median(alone_s), median(among_s))
