"""Who may register: anybody, nobody, or who has a code that an operator made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.gateway.core.enrolment import LETTERS, digest_of, new_code
from autogrocery.gateway.store import enrolments
from tests.integration.gateway.accounts.conftest import PASSWORD, House, Reply, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

NUMBER = "SELECT count(*) AS n FROM smart_devices"


@pytest.fixture
async def house(gateway_db: Db) -> AsyncIterator[House]:
    async with open_house(gateway_db, registration="code") as house:
        yield house


async def code_for(house: House, uses: int = 1, days: int = 7) -> str:
    code = new_code()
    await enrolments.add(house.db, digest_of(code), uses, days)
    return code


async def come(house: House, name: str = "fridge-1", **more: Any) -> Reply:
    return await house.post("/api/client/register", {"device_id": name, "password": PASSWORD} | more)


async def left(house: House) -> list[int]:
    return [one.uses_left for one in await enrolments.list_codes(house.db, 10)]


async def devices(house: House) -> int:
    row = await house.db.row(NUMBER)
    assert row is not None
    return int(row["n"])


async def test_a_code_lets_in_as_many_devices_as_it_says(house: House) -> None:
    code = await code_for(house, uses=2)
    replies = [await come(house, f"fridge-{number}", enrolment_code=code) for number in range(3)]
    assert [reply.status for reply in replies] == [201, 201, 403]
    assert replies[2].code == "invalid_enrolment_code"
    assert await left(house) == [0]
    assert await devices(house) == 2
    await house.log_in("fridge-1")


async def test_a_code_may_be_typed_carelessly(house: House) -> None:
    code = await code_for(house)
    assert (await come(house, enrolment_code=f" {code.replace('-', ' ').lower()}")).status == 201


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"enrolment_code": None},
        {"enrolment_code": ""},
        {"enrolment_code": "ABCD-EFGH-JKMN-PQRS"},
        {"enrolment_code": "\ud83d\ude00"},
        {"enrolment_code": "' OR 1=1 --"},
    ],
)
async def test_without_a_good_code_nobody_comes_in(house: House, given: dict[str, Any]) -> None:
    await code_for(house)
    reply = await come(house, **given)
    assert (reply.status, reply.code) == (403, "invalid_enrolment_code")
    assert "www-authenticate" not in reply.headers
    assert await devices(house) == 0


async def test_a_code_of_another_shape_is_422(house: House) -> None:
    for code in (5, ["x"], "x" * 65):
        assert (await come(house, enrolment_code=code)).status == 422


async def test_an_expired_or_revoked_code_is_none(house: House) -> None:
    code = await code_for(house)
    await house.db.run("UPDATE enrolment_codes SET expires_at = now()")
    assert (await come(house, enrolment_code=code)).code == "invalid_enrolment_code"
    code = await code_for(house)
    (newest, older) = await enrolments.list_codes(house.db, 10)
    assert (newest.state, older.state) == ("good", "expired")
    assert await enrolments.revoke(house.db, newest.code_id)
    assert (await come(house, enrolment_code=code)).code == "invalid_enrolment_code"


async def test_a_name_that_is_taken_spends_nothing(house: House) -> None:
    code = await code_for(house, uses=2)
    await house.add("fridge-1")
    assert (await come(house, enrolment_code=code)).code == "device_taken"
    assert await left(house) == [2]


async def test_of_twenty_devices_at_once_a_code_for_five_lets_in_five(house: House) -> None:
    code = await code_for(house, uses=5)
    replies = await asyncio.gather(*(come(house, f"fridge-{number}", enrolment_code=code) for number in range(20)))
    assert sorted(reply.status for reply in replies) == [201] * 5 + [403] * 15
    assert (await devices(house), await left(house)) == (5, [0])


async def test_of_ten_that_want_one_name_at_once_one_gets_it_for_one_use(house: House) -> None:
    code = await code_for(house, uses=10)
    asked = [
        enrolments.enrol(house.db, digest_of(code), "fridge-1", "$2b$x", email=None, phone=None) for _ in range(10)
    ]
    told = await asyncio.gather(*asked)
    assert sum(user_id is not None for user_id, _ in told) == 1
    assert all(good for _, good in told)
    assert await left(house) == [9]


async def test_closed_is_closed_with_a_code_too(gateway_db: Db) -> None:
    async with open_house(gateway_db, registration="closed") as house:
        reply = await come(house, enrolment_code=await code_for(house))
        assert (reply.status, reply.code) == (403, "registration_closed")
        await house.add("fridge-1")  # an operator still can
        await house.log_in()


async def test_where_anybody_may_register_a_code_is_not_looked_at(gateway_db: Db) -> None:
    async with open_house(gateway_db) as house:
        assert (await come(house, enrolment_code="whatever")).status == 201


async def test_the_database_knows_hashes_only(house: House) -> None:
    code = await code_for(house)
    row = await house.db.row("SELECT enrolment_codes::text AS whole FROM enrolment_codes")
    assert row is not None
    assert code not in row["whole"]
    assert set(code.replace("-", "")) <= set(LETTERS)
