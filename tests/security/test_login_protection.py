"""Guessing passwords: one answer for all that is wrong, ever longer waits for the guesser, and none for anybody else."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import aiohttp
import bcrypt
import pytest

from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.store import devices
from tests.harness.running_gateway import Shop, open_shop
from tests.integration.gateway.accounts.conftest import PASSWORD, House, Reply, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

LOGIN = "/api/client/login"
FREE = 5


@pytest.fixture
async def house(gateway_db: Db) -> AsyncIterator[House]:
    async with open_house(gateway_db) as house:
        yield house


async def guess(house: House, name: str = "fridge-1", password: str = "wrong horse", **headers: str) -> Reply:
    return await house.ask("POST", house.public + LOGIN, {"device_id": name, "password": password}, None, **headers)


@asynccontextmanager
async def from_elsewhere(house: House) -> AsyncIterator[House]:
    """The same doors, seen from another address of this machine."""
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield House(house.db, house.accounts, session, house.public, house.internal)


@pytest.mark.parametrize("name", ["fridge-1", "nobody", "truck-1", "closed-1", "a\0b", "x" * 2_000])
async def test_after_five_wrong_guesses_the_next_waits_whether_there_is_such_a_device_or_not(
    house: House, name: str
) -> None:
    for one, kind in (("fridge-1", Kind.DEVICE), ("truck-1", Kind.TRUCK), ("closed-1", Kind.DEVICE)):
        await house.add(one, kind)
    await devices.disable(house.db, "closed-1", Kind.DEVICE)
    assert [(await guess(house, name)).code for _ in range(FREE)] == ["invalid_credentials"] * FREE
    reply = await guess(house, name, PASSWORD)
    assert (reply.status, reply.code) == (429, "rate_limited")
    assert int(reply.headers["retry-after"]) >= 1


async def test_a_guess_that_must_wait_costs_no_hash(gateway_db: Db) -> None:
    async with open_house(gateway_db, bcrypt_cost=10) as house:
        wrong_s = []
        for _ in range(FREE):
            began = time.perf_counter()
            await guess(house, "nobody")
            wrong_s.append(time.perf_counter() - began)
        waited_s = []
        for _ in range(3):
            began = time.perf_counter()
            assert (await guess(house, "nobody")).status == 429
            waited_s.append(time.perf_counter() - began)
    assert min(waited_s) < min(wrong_s) / 5


async def test_the_owner_comes_in_from_elsewhere_while_a_guesser_waits(house: House) -> None:
    await house.add("fridge-1")
    for _ in range(FREE):
        await guess(house)
    assert (await guess(house, password=PASSWORD)).status == 429
    async with from_elsewhere(house) as owner:
        await owner.log_in()
    assert (await guess(house, password=PASSWORD)).status == 429  # which does not help the guesser


async def test_who_waits_as_told_and_knows_the_password_comes_in_and_all_is_forgiven(house: House) -> None:
    await house.add("fridge-1")
    for _ in range(FREE):
        await guess(house)
    for _ in range(2):
        await asyncio.sleep(float((await guess(house, password=PASSWORD)).headers["retry-after"]))
        await house.log_in()
        assert [(await guess(house)).status for _ in range(FREE - 1)] == [401] * (FREE - 1)
        assert (await guess(house)).status == 401


async def test_guesses_at_once_are_no_more_than_guesses_in_turn(house: House) -> None:
    await house.add("fridge-1")
    replies = await asyncio.gather(*(guess(house) for _ in range(40)))
    assert sum(reply.status == 401 for reply in replies) <= FREE
    assert sum(reply.status == 429 for reply in replies) >= 40 - FREE


async def test_robots_and_operators_are_protected_at_their_own_door(house: House) -> None:
    body = {"device_id": "op-1", "password": "wrong horse"}
    statuses = [(await house.post("/internal/login", body, inside=True)).status for _ in range(FREE + 1)]
    assert statuses == [401] * FREE + [429]


async def test_a_stolen_token_guesses_no_password_either(house: House) -> None:
    await house.add("fridge-1")
    token = (await house.log_in())["access_token"]
    body = {"password": "wrong horse", "new_password": "another battery"}
    replies = [await house.post("/api/client/password", body, token) for _ in range(FREE + 1)]
    assert [reply.status for reply in replies] == [401] * FREE + [429]


async def test_a_busy_house_blames_nobody(house: House) -> None:
    await house.add("fridge-1")
    house.accounts.passwords._patience_s = 0.0
    assert {(await guess(house)).code for _ in range(FREE * 2)} == {"busy"}
    house.accounts.passwords._patience_s = 5.0
    await house.log_in()


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_a_foreign_hash_of_a_long_password_logs_in_and_stays_as_it_is(house: House, prefix: str) -> None:
    password = "long horse battery " * 10
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", prefix)
    await house.db.run("INSERT INTO smart_devices (device_id, password) VALUES ('old-1', $1)", hashed)
    house.accounts.passwords.cost = 5
    await house.log_in("old-1", password)
    row = await house.db.row("SELECT password FROM smart_devices")
    assert row is not None
    assert row["password"] == hashed  # made anew it would be of the first 72 bytes alone, which nobody chose


async def test_a_hash_that_is_made_anew_never_undoes_a_new_password(house: House) -> None:
    user_id = await house.add("fridge-1")
    known = await devices.get(house.db, "fridge-1")
    assert known is not None
    chosen, anew = [await house.accounts.passwords.hash(word) for word in ("another battery", PASSWORD)]
    assert await devices.change_password(
        house.db, user_id, known.password, chosen
    )  # while a login makes the old one anew
    await devices.rehash(house.db, user_id, known.password, anew)
    await house.log_in(password="another battery")
    assert (await guess(house, password=PASSWORD)).status == 401


async def test_twenty_logins_at_a_risen_cost_leave_one_good_hash(house: House) -> None:
    await house.add("fridge-1")
    house.accounts.passwords.cost = 5
    replies = await asyncio.gather(*(guess(house, password=PASSWORD) for _ in range(FREE)))
    assert {reply.status for reply in replies} == {200}
    row = await house.db.row("SELECT password FROM smart_devices")
    assert row is not None
    assert row["password"].startswith("$2b$05$")
    await house.log_in()


async def test_an_untrusted_peer_says_in_vain_whom_it_speaks_for(house: House) -> None:
    for number in range(FREE):
        await guess(house, "nobody", **{"x-forwarded-for": f"203.0.113.{number}"})
    assert (await guess(house, "nobody", **{"x-forwarded-for": "198.51.100.9"})).status == 429


async def test_a_trusted_proxy_is_believed_and_what_its_client_adds_is_not(gateway_db: Db) -> None:
    async with open_house(gateway_db, trusted_proxies="127.0.0.1, 10.0.0.0/8") as house:
        for number in range(FREE):  # the client writes the first, the proxy adds the last
            await guess(house, "nobody", **{"x-forwarded-for": f"192.0.2.{number}, 203.0.113.7, 10.1.2.3"})
        told = [await guess(house, "nobody", **{"x-forwarded-for": each}) for each in ("203.0.113.7", "198.51.100.9")]
        assert [reply.status for reply in told] == [429, 401]
        async with from_elsewhere(house) as stranger:  # 127.0.0.2 is no proxy of ours
            reply = await guess(stranger, "nobody", **{"x-forwarded-for": "203.0.113.7"})
            assert reply.status == 401


async def test_limits_are_settings_and_each_answer_says_what_is_left(gateway_db: Db) -> None:
    async with open_house(gateway_db, rate_logins_per_s=0.1, rate_logins_burst=2, rate_registrations_burst=1) as house:
        await house.add("fridge-1")
        replies = [await guess(house, password=PASSWORD) for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert [reply.headers["ratelimit"].split(";")[1] for reply in replies] == ["r=1", "r=0", "r=0"]
        assert replies[2].headers["ratelimit-policy"] == '"logins";q=2;w=20'
        assert int(replies[2].headers["retry-after"]) >= 10
        made = await house.post("/api/client/register", {"device_id": "fridge-2", "password": PASSWORD})
        assert made.status == 201  # each limit counts for itself


async def confirm_times_s(shop: Shop, until: asyncio.Event | None = None) -> list[float]:
    device = await shop.device()
    took_s = []
    for _ in range(15):
        order_id = await device.previewed()
        began = time.perf_counter()
        assert (await device.confirm(order_id)).status == 200
        took_s.append(time.perf_counter() - began)
    if until is not None:
        until.set()
    return took_s


async def test_a_flood_of_logins_does_not_hold_up_confirms(gateway_dsn: str) -> None:
    async def flood(shop: Shop, number: int, enough: asyncio.Event) -> int:
        tried = 0
        while not enough.is_set():
            body: dict[str, Any] = {"device_id": f"ghost-{number}-{tried}", "password": PASSWORD}
            assert (await shop.ask("POST", LOGIN, body)).status in {401, 429, 503}
            tried += 1
        return tried

    async with open_shop(gateway_dsn, BCRYPT_COST="11") as shop:
        await confirm_times_s(shop)
        alone_s = await confirm_times_s(shop)
        enough = asyncio.Event()
        flooding = [asyncio.create_task(flood(shop, number, enough)) for number in range(8)]
        among_s = await confirm_times_s(shop, enough)
        assert sum(await asyncio.gather(*flooding)) > 0
    assert median(among_s) < max(4 * median(alone_s), 0.1), (median(alone_s), median(among_s))
