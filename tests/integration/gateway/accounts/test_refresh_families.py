"""Refresh tokens: rotation, tolerance of a lost response, and revocation of the family of a stolen token."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.core.account import REUSE_GRACE_S, Kind, PresentedToken, Rotation, decide_rotation
from autogrocery.gateway.loops import account_loops
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode
from tests.integration.gateway.accounts.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.integration.gateway.accounts.conftest import AccountsGateway, Reply


@pytest.fixture
async def first(gateway: AccountsGateway) -> str:
    """The refresh token of a device that has just logged in."""
    await gateway.add("fridge-1")
    token: str = (await gateway.log_in())["refresh_token"]
    return token


def next_token(reply: Reply) -> str:
    assert reply.status == 200, reply
    token: str = reply.json["refresh_token"]
    return token


async def age(gateway: AccountsGateway, seconds: float) -> None:
    """Move the replacement of every replaced token `seconds` into the past."""
    await gateway.db.run(
        "UPDATE refresh_tokens SET replaced_at = replaced_at - $1 * interval '1 second' WHERE replaced_at IS NOT NULL",
        seconds,
    )


async def test_each_refresh_returns_new_working_tokens(gateway: AccountsGateway, first: str) -> None:
    token, seen = first, {first}
    for _ in range(4):
        reply = await gateway.refresh(token)
        token = next_token(reply)
        assert token not in seen
        seen.add(token)
        assert reply.json.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (await gateway.get("/api/client/me", reply.json["access_token"])).status == 200


async def test_previous_refresh_token_is_accepted_after_a_lost_answer(gateway: AccountsGateway, first: str) -> None:
    next_token(await gateway.refresh(first))  # this response is lost
    second = next_token(await gateway.refresh(first))
    third = next_token(await gateway.refresh(second))
    next_token(await gateway.refresh(third))


async def test_previous_refresh_token_after_ten_seconds_revokes_the_family(
    gateway: AccountsGateway, first: str
) -> None:
    second = next_token(await gateway.refresh(first))
    await age(gateway, 10.5)
    assert (await gateway.refresh(first)).code == "invalid_token"
    assert (await gateway.refresh(second)).code == "invalid_token"  # the whole family is revoked


async def test_refresh_token_before_the_previous_revokes_the_family(gateway: AccountsGateway, first: str) -> None:
    second = next_token(await gateway.refresh(first))
    third = next_token(await gateway.refresh(second))
    assert (await gateway.refresh(first)).code == "invalid_token"
    for token in (third, second, first):
        assert (await gateway.refresh(token)).code == "invalid_token"


async def test_revoked_family_does_not_affect_other_logins(gateway: AccountsGateway, first: str) -> None:
    elsewhere = (await gateway.log_in())["refresh_token"]
    next_token(await gateway.refresh(next_token(await gateway.refresh(first))))
    await gateway.refresh(first)
    next_token(await gateway.refresh(elsewhere))


async def test_concurrent_refreshes_of_one_token_all_return_200(gateway: AccountsGateway, first: str) -> None:
    replies = await asyncio.gather(*(gateway.refresh(first) for _ in range(5)))
    assert [reply.status for reply in replies] == [200] * 5
    living = await gateway.db.rows(
        "SELECT token_sha256 FROM refresh_tokens WHERE replaced_at IS NULL AND revoked_at IS NULL"
    )
    (alive,) = [
        next_token(reply)
        for reply in replies
        if hashlib.sha256(next_token(reply).encode()).digest() in {row["token_sha256"] for row in living}
    ]
    next_token(await gateway.refresh(alive))


async def test_refresh_after_lost_commit_acknowledgement_succeeds(gateway: AccountsGateway, first: str) -> None:
    with faults.arm(Fault("pg.commit", Mode.EFFECT_THEN_ERROR, 1)):
        assert (await gateway.refresh(first)).status == 503
        second = next_token(await gateway.refresh(first))
    next_token(await gateway.refresh(second))


@pytest.mark.parametrize("shown", ["", "x", "x" * 43, "x" * 4_000, "é" * 43, "a.b.c"])
async def test_malformed_refresh_token_returns_401(gateway: AccountsGateway, first: str, shown: str) -> None:
    reply = await gateway.refresh(shown)
    assert (reply.status, reply.code) == (401, "invalid_token")
    next_token(await gateway.refresh(first))


async def test_refresh_without_token_returns_401(gateway: AccountsGateway) -> None:
    assert (await gateway.post("/api/client/refresh")).code == "invalid_token"


async def test_refresh_with_access_token_returns_401(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    assert (await gateway.refresh((await gateway.log_in())["access_token"])).code == "invalid_token"


async def test_expired_refresh_token_returns_401(gateway: AccountsGateway, first: str) -> None:
    await gateway.db.run("UPDATE refresh_tokens SET expires_at = now()")
    assert (await gateway.refresh(first)).code == "invalid_token"


async def test_refresh_of_disabled_device_returns_401(gateway: AccountsGateway, first: str) -> None:
    await gateway.db.run("UPDATE smart_devices SET disabled_at = now()")
    assert (await gateway.refresh(first)).code == "invalid_token"


async def test_refresh_at_another_kinds_route_returns_401_and_keeps_the_token(gateway: AccountsGateway) -> None:
    await gateway.add("op-1", Kind.OPERATOR)
    token = (await gateway.post("/internal/login", {"device_id": "op-1", "password": PASSWORD}, inside=True)).json[
        "refresh_token"
    ]
    assert (await gateway.refresh(token)).code == "invalid_token"
    await age(gateway, 60)
    next_token(await gateway.post("/internal/refresh", bearer=token, inside=True))


async def test_database_stores_hashes_of_refresh_tokens_only(gateway: AccountsGateway, first: str) -> None:
    rows = await gateway.db.rows("SELECT token_sha256 FROM refresh_tokens")
    assert [row["token_sha256"] for row in rows] == [hashlib.sha256(first.encode()).digest()]


@pytest.mark.usefixtures("first")
async def test_token_expired_for_more_than_a_day_is_deleted(gateway: AccountsGateway) -> None:
    await gateway.db.run("UPDATE refresh_tokens SET expires_at = now() - interval '25 hours'")
    (_, delete_expired) = account_loops(gateway.accounts)
    await delete_expired._action()
    assert not await gateway.db.rows("SELECT 1 FROM refresh_tokens")


async def test_password_change_revokes_refresh_tokens_and_the_old_password(
    gateway: AccountsGateway, first: str
) -> None:
    tokens = await gateway.log_in()
    body = {"password": PASSWORD, "new_password": "another battery horse"}
    reply = await gateway.post("/api/client/password", body, tokens["access_token"])
    assert (reply.status, reply.body) == (204, b"")
    for token in (first, tokens["refresh_token"]):
        assert (await gateway.refresh(token)).code == "invalid_token"
    old = await gateway.post("/api/client/login", {"device_id": "fridge-1", "password": PASSWORD})
    assert old.code == "invalid_credentials"
    await gateway.log_in(password="another battery horse")


async def test_password_change_with_wrong_old_password_is_refused(gateway: AccountsGateway, first: str) -> None:
    access = (await gateway.log_in())["access_token"]
    for password in ("wrong horse battery", "", PASSWORD + "\0"):
        reply = await gateway.post("/api/client/password", {"password": password, "new_password": "x" * 12}, access)
        assert reply.status in {401, 422}
    next_token(await gateway.refresh(first))


@pytest.mark.parametrize("new", ["x" * 11, "x" * 73, "é" * 37])
async def test_invalid_new_password_returns_422_with_its_pointer(
    gateway: AccountsGateway, first: str, new: str
) -> None:
    access = (await gateway.log_in())["access_token"]
    reply = await gateway.post("/api/client/password", {"password": PASSWORD, "new_password": new}, access)
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/new_password")
    next_token(await gateway.refresh(first))


async def test_password_change_without_token_returns_401(gateway: AccountsGateway) -> None:
    reply = await gateway.post("/api/client/password", {"password": PASSWORD, "new_password": "x" * 12})
    assert (reply.status, reply.code) == (401, "invalid_token")


def test_decide_rotation() -> None:
    newest, before, older = b"newest", b"before", b"older"

    def decide(token: bytes, replaced_for_s: float | None, *, live: bool = True) -> Rotation:
        return decide_rotation(PresentedToken(token, live, replaced_for_s, before))

    assert decide(newest, None) is Rotation.RENEW
    assert decide(before, 0.0) is Rotation.RENEW
    assert decide(before, REUSE_GRACE_S) is Rotation.RENEW
    assert decide(before, REUSE_GRACE_S + 0.1) is Rotation.REVOKE
    assert decide(older, 0.0) is Rotation.REVOKE
    for token, replaced_for_s in ((newest, None), (before, 0.0), (older, 99.0)):
        assert decide(token, replaced_for_s, live=False) is Rotation.REFUSE
