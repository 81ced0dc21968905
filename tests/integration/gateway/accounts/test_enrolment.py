"""Registration of devices: open, closed, or with an enrolment code of an operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.gateway.core.enrolment import ALPHABET, digest_of, new_code
from autogrocery.gateway.store import enrolments
from tests.integration.gateway.accounts.conftest import PASSWORD, AccountsGateway, Reply, open_accounts_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

COUNT = "SELECT count(*) AS n FROM smart_devices"


@pytest.fixture
async def gateway(gateway_db: Db) -> AsyncIterator[AccountsGateway]:
    async with open_accounts_gateway(gateway_db, registration="code") as gateway:
        yield gateway


async def code_for(gateway: AccountsGateway, uses: int = 1, days: int = 7) -> str:
    code = new_code()
    await enrolments.add(gateway.db, digest_of(code), uses, days)
    return code


async def register(gateway: AccountsGateway, name: str = "fridge-1", **more: Any) -> Reply:
    return await gateway.post("/api/client/register", {"device_id": name, "password": PASSWORD} | more)


async def uses_left(gateway: AccountsGateway) -> list[int]:
    return [one.uses_left for one in await enrolments.list_codes(gateway.db, 10)]


async def devices(gateway: AccountsGateway) -> int:
    row = await gateway.db.row(COUNT)
    assert row is not None
    return int(row["n"])


async def test_code_registers_as_many_devices_as_its_uses(gateway: AccountsGateway) -> None:
    code = await code_for(gateway, uses=2)
    replies = [await register(gateway, f"fridge-{number}", enrolment_code=code) for number in range(3)]
    assert [reply.status for reply in replies] == [201, 201, 403]
    assert replies[2].code == "invalid_enrolment_code"
    assert await uses_left(gateway) == [0]
    assert await devices(gateway) == 2
    await gateway.log_in("fridge-1")


@pytest.mark.parametrize("dash", ["\u2010", "\u2011", "\u2013", "\u00a0", "\u3000", " - ", "\uff0d"])
async def test_code_with_dashes_of_an_editor_or_full_width_is_accepted(gateway: AccountsGateway, dash: str) -> None:
    code = await code_for(gateway, uses=2)
    wide = "".join(chr(ord(one) + 0xFEE0) for one in code)
    for number, typed in enumerate((code.replace("-", dash), wide)):
        assert (await register(gateway, f"fridge-{number}", enrolment_code=typed)).status == 201


async def test_code_in_lower_case_with_blanks_is_accepted(gateway: AccountsGateway) -> None:
    code = await code_for(gateway)
    assert (await register(gateway, enrolment_code=f" {code.replace('-', ' ').lower()}")).status == 201


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
async def test_registration_without_valid_code_returns_403(gateway: AccountsGateway, given: dict[str, Any]) -> None:
    await code_for(gateway)
    reply = await register(gateway, **given)
    assert (reply.status, reply.code) == (403, "invalid_enrolment_code")
    assert "www-authenticate" not in reply.headers
    assert await devices(gateway) == 0


async def test_code_of_wrong_type_or_length_returns_422(gateway: AccountsGateway) -> None:
    for code in (5, ["x"], "x" * 65):
        assert (await register(gateway, enrolment_code=code)).status == 422


async def test_expired_or_revoked_code_returns_403(gateway: AccountsGateway) -> None:
    code = await code_for(gateway)
    await gateway.db.run("UPDATE enrolment_codes SET expires_at = now()")
    assert (await register(gateway, enrolment_code=code)).code == "invalid_enrolment_code"
    code = await code_for(gateway)
    (newest, older) = await enrolments.list_codes(gateway.db, 10)
    assert (newest.state, older.state) == ("good", "expired")
    assert await enrolments.revoke(gateway.db, newest.code_id)
    assert (await register(gateway, enrolment_code=code)).code == "invalid_enrolment_code"


async def test_taken_device_id_does_not_use_up_a_code(gateway: AccountsGateway) -> None:
    code = await code_for(gateway, uses=2)
    await gateway.add("fridge-1")
    assert (await register(gateway, enrolment_code=code)).code == "device_taken"
    assert await uses_left(gateway) == [2]


async def test_twenty_concurrent_registrations_with_five_uses_register_five(gateway: AccountsGateway) -> None:
    code = await code_for(gateway, uses=5)
    replies = await asyncio.gather(
        *(register(gateway, f"fridge-{number}", enrolment_code=code) for number in range(20))
    )
    assert sorted(reply.status for reply in replies) == [201] * 5 + [403] * 15
    assert (await devices(gateway), await uses_left(gateway)) == (5, [0])


async def test_ten_concurrent_enrolments_of_one_device_id_use_the_code_once(gateway: AccountsGateway) -> None:
    code = await code_for(gateway, uses=10)
    asked = [
        enrolments.enrol(gateway.db, digest_of(code), "fridge-1", "$2b$x", email=None, phone=None) for _ in range(10)
    ]
    results = await asyncio.gather(*asked)
    assert sum(result.user_id is not None for result in results) == 1
    assert all(result.code_is_good for result in results)
    assert await uses_left(gateway) == [9]


async def test_closed_registration_with_code_returns_403(gateway_db: Db) -> None:
    async with open_accounts_gateway(gateway_db, registration="closed") as gateway:
        reply = await register(gateway, enrolment_code=await code_for(gateway))
        assert (reply.status, reply.code) == (403, "registration_closed")
        await gateway.add("fridge-1")  # an operator still can
        await gateway.log_in()


async def test_open_registration_ignores_the_code(gateway_db: Db) -> None:
    async with open_accounts_gateway(gateway_db) as gateway:
        assert (await register(gateway, enrolment_code="whatever")).status == 201


async def test_database_stores_no_enrolment_code(gateway: AccountsGateway) -> None:
    code = await code_for(gateway)
    row = await gateway.db.row("SELECT enrolment_codes::text AS whole FROM enrolment_codes")
    assert row is not None
    assert code not in row["whole"]
    assert set(code.replace("-", "")) <= set(ALPHABET)


async def test_enrolment_judges_the_address_as_registration_does(gateway: AccountsGateway) -> None:
    code = await code_for(gateway)
    refused = await register(gateway, enrolment_code=code, email="anna@example.com,")
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/email")
    assert await uses_left(gateway) == [1]
    assert (await register(gateway, enrolment_code=code, email="anna@bücher.example")).status == 201
    row = await gateway.db.row("SELECT email FROM smart_devices")
    assert row is not None
    assert row["email"] == "anna@xn--bcher-kva.example"
