"""Refresh tokens: one pair after the other, a lost answer forgiven, a stolen token the end of its family."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.core.account import FORGIVEN_S, Kind, Rotation, Shown, rotate
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode
from tests.integration.gateway.accounts.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.integration.gateway.accounts.conftest import House, Reply


@pytest.fixture
async def first(house: House) -> str:
    """The refresh token of a device that has just logged in."""
    await house.add("fridge-1")
    token: str = (await house.log_in())["refresh_token"]
    return token


def follower(reply: Reply) -> str:
    assert reply.status == 200, reply
    token: str = reply.json["refresh_token"]
    return token


async def age(house: House, seconds: float) -> None:
    """Let time pass for every token that was replaced."""
    await house.db.run(
        "UPDATE refresh_tokens SET replaced_at = replaced_at - $1 * interval '1 second' WHERE replaced_at IS NOT NULL",
        seconds,
    )


async def test_each_refresh_yields_a_new_pair_that_works(house: House, first: str) -> None:
    token, seen = first, {first}
    for _ in range(4):
        reply = await house.refresh(token)
        token = follower(reply)
        assert token not in seen
        seen.add(token)
        assert reply.json.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (await house.get("/api/client/me", reply.json["access_token"])).status == 200


async def test_a_token_whose_answer_was_lost_may_be_shown_again(house: House, first: str) -> None:
    follower(await house.refresh(first))  # lost on the way
    second = follower(await house.refresh(first))
    third = follower(await house.refresh(second))
    follower(await house.refresh(third))


async def test_a_lost_answer_is_forgiven_for_ten_seconds_only(house: House, first: str) -> None:
    second = follower(await house.refresh(first))
    await age(house, 10.5)
    assert (await house.refresh(first)).code == "invalid_token"
    assert (await house.refresh(second)).code == "invalid_token"  # with its whole family


async def test_an_older_token_revokes_the_family_at_any_time(house: House, first: str) -> None:
    second = follower(await house.refresh(first))
    third = follower(await house.refresh(second))
    assert (await house.refresh(first)).code == "invalid_token"
    for token in (third, second, first):
        assert (await house.refresh(token)).code == "invalid_token"


async def test_a_revoked_family_leaves_other_logins_alone(house: House, first: str) -> None:
    elsewhere = (await house.log_in())["refresh_token"]
    follower(await house.refresh(follower(await house.refresh(first))))
    await house.refresh(first)
    follower(await house.refresh(elsewhere))


async def test_the_same_token_shown_twice_at_once_yields_pairs_and_no_error(house: House, first: str) -> None:
    replies = await asyncio.gather(*(house.refresh(first) for _ in range(5)))
    assert [reply.status for reply in replies] == [200] * 5
    living = await house.db.rows(
        "SELECT token_sha256 FROM refresh_tokens WHERE replaced_at IS NULL AND revoked_at IS NULL"
    )
    (alive,) = [
        follower(reply)
        for reply in replies
        if hashlib.sha256(follower(reply).encode()).digest() in {row["token_sha256"] for row in living}
    ]
    follower(await house.refresh(alive))


async def test_a_commit_whose_answer_was_lost_is_asked_again(house: House, first: str) -> None:
    with faults.arm(Fault("pg.commit", Mode.EFFECT_THEN_ERROR, 1)):
        assert (await house.refresh(first)).status == 503
        second = follower(await house.refresh(first))
    follower(await house.refresh(second))


@pytest.mark.parametrize("shown", ["", "x", "x" * 43, "x" * 4_000, "é" * 43, "a.b.c"])
async def test_what_is_no_refresh_token_gets_the_one_answer(house: House, first: str, shown: str) -> None:
    reply = await house.refresh(shown)
    assert (reply.status, reply.code) == (401, "invalid_token")
    follower(await house.refresh(first))


async def test_no_token_at_all_is_401(house: House) -> None:
    assert (await house.post("/api/client/refresh")).code == "invalid_token"


async def test_an_access_token_refreshes_nothing(house: House) -> None:
    await house.add("fridge-1")
    assert (await house.refresh((await house.log_in())["access_token"])).code == "invalid_token"


async def test_an_expired_token_is_refused(house: House, first: str) -> None:
    await house.db.run("UPDATE refresh_tokens SET expires_at = now()")
    assert (await house.refresh(first)).code == "invalid_token"


async def test_a_disabled_device_gets_no_further_pair(house: House, first: str) -> None:
    await house.db.run("UPDATE smart_devices SET disabled_at = now()")
    assert (await house.refresh(first)).code == "invalid_token"


async def test_the_wrong_door_refuses_a_token_and_does_not_spend_it(house: House) -> None:
    await house.add("op-1", Kind.OPERATOR)
    token = (await house.post("/internal/login", {"device_id": "op-1", "password": PASSWORD}, inside=True)).json[
        "refresh_token"
    ]
    assert (await house.refresh(token)).code == "invalid_token"
    await age(house, 60)
    follower(await house.post("/internal/refresh", bearer=token, inside=True))


async def test_the_database_knows_hashes_only(house: House, first: str) -> None:
    rows = await house.db.rows("SELECT token_sha256 FROM refresh_tokens")
    assert [row["token_sha256"] for row in rows] == [hashlib.sha256(first.encode()).digest()]


@pytest.mark.usefixtures("first")
async def test_what_expired_long_ago_is_forgotten(house: House) -> None:
    await house.db.run("UPDATE refresh_tokens SET expires_at = now() - interval '25 hours'")
    (_, forgetting) = house.accounts.loops()
    await forgetting._verb()
    assert not await house.db.rows("SELECT 1 FROM refresh_tokens")


async def test_a_new_password_ends_all_refresh_tokens_and_the_old_password(house: House, first: str) -> None:
    tokens = await house.log_in()
    body = {"password": PASSWORD, "new_password": "another battery horse"}
    reply = await house.post("/api/client/password", body, tokens["access_token"])
    assert (reply.status, reply.body) == (204, b"")
    for token in (first, tokens["refresh_token"]):
        assert (await house.refresh(token)).code == "invalid_token"
    old = await house.post("/api/client/login", {"device_id": "fridge-1", "password": PASSWORD})
    assert old.code == "invalid_credentials"
    await house.log_in(password="another battery horse")


async def test_a_new_password_asks_for_the_old_one(house: House, first: str) -> None:
    access = (await house.log_in())["access_token"]
    for password in ("wrong horse battery", "", PASSWORD + "\0"):
        reply = await house.post("/api/client/password", {"password": password, "new_password": "x" * 12}, access)
        assert reply.status in {401, 422}
    follower(await house.refresh(first))


@pytest.mark.parametrize("new", ["x" * 11, "x" * 73, "é" * 37])
async def test_a_bad_new_password_is_422_and_says_where(house: House, first: str, new: str) -> None:
    access = (await house.log_in())["access_token"]
    reply = await house.post("/api/client/password", {"password": PASSWORD, "new_password": new}, access)
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/new_password")
    follower(await house.refresh(first))


async def test_a_new_password_asks_for_a_token(house: House) -> None:
    reply = await house.post("/api/client/password", {"password": PASSWORD, "new_password": "x" * 12})
    assert (reply.status, reply.code) == (401, "invalid_token")


def test_the_decision_is_a_table() -> None:
    newest, before, older = b"newest", b"before", b"older"

    def decide(token: bytes, replaced_for_s: float | None, *, live: bool = True) -> Rotation:
        return rotate(Shown(token, live, replaced_for_s, before))

    assert decide(newest, None) is Rotation.RENEW
    assert decide(before, 0.0) is Rotation.RENEW
    assert decide(before, FORGIVEN_S) is Rotation.RENEW
    assert decide(before, FORGIVEN_S + 0.1) is Rotation.REVOKE
    assert decide(older, 0.0) is Rotation.REVOKE
    for token, replaced_for_s in ((newest, None), (before, 0.0), (older, 99.0)):
        assert decide(token, replaced_for_s, live=False) is Rotation.REFUSE
