"""The deeds of accounts, broken at every point as those of orders are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bcrypt

from autogrocery.gateway.actions.enrol import enrol
from autogrocery.gateway.actions.log_in import change_password, log_in, refresh
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.enrolment import digest_of
from autogrocery.gateway.routes.accounts import DEVICES
from autogrocery.gateway.store import enrolments
from autogrocery.kit.errors import Unauthenticated
from tests.proofs.enumeration.deeds import Scenario, nothing

if TYPE_CHECKING:
    from autogrocery.gateway.wire.accounts import TokensOut
    from tests.proofs.enumeration.deeds import Subject
    from tests.proofs.enumeration.stage import Stage

PASSWORD, NEW_PASSWORD = "correct horse battery", "staple correct horse"


def name_of(one: Subject) -> str:
    return f"fridge-{one.key}"


async def do_register(stage: Stage, one: Subject) -> object:
    one.user_id = await register(stage.db, stage.accounts.passwords, name_of(one), PASSWORD)
    return one.user_id


async def do_enrol(stage: Stage, one: Subject) -> object:
    code = one.key
    one.user_id = await enrol(
        stage.db, stage.accounts.passwords, name_of(one), PASSWORD, email=None, phone=None, code=code
    )
    return one.user_id


async def has_a_code(stage: Stage, one: Subject) -> None:
    await enrolments.add(stage.db, digest_of(one.key), uses=1, days=1)


async def do_log_in(stage: Stage, one: Subject) -> object:
    one.tokens = await log_in_with(stage, one, PASSWORD)
    return one.tokens


async def log_in_with(stage: Stage, one: Subject, password: str) -> TokensOut:
    accounts = stage.accounts
    return await log_in(stage.db, accounts.passwords, accounts.issuing, name_of(one), password, DEVICES)


async def do_refresh(stage: Stage, one: Subject) -> object:
    assert one.tokens is not None
    one.tokens = await refresh(stage.db, stage.accounts.issuing, one.tokens.refresh_token, DEVICES)
    return one.tokens


async def do_change_password(stage: Stage, one: Subject) -> object:
    return await change_password(stage.db, stage.accounts.passwords, one.user_id, PASSWORD, NEW_PASSWORD)


async def logged_in(stage: Stage, one: Subject) -> None:
    await do_register(stage, one)
    await do_log_in(stage, one)


async def with_a_weak_hash(stage: Stage, one: Subject) -> None:
    """Registered when hashes were cheaper."""
    await do_register(stage, one)
    weak = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await stage.db.run("UPDATE smart_devices SET password = $2 WHERE device_id = $1", name_of(one), weak)


async def stolen(stage: Stage, one: Subject) -> None:
    """A thief has the first token, its owner has gone on two steps since."""
    await logged_in(stage, one)
    first = one.tokens
    await do_refresh(stage, one)
    await do_refresh(stage, one)
    one.newest, one.tokens = one.tokens, first


async def is_known_once(stage: Stage, one: Subject, insisted: bool) -> list[str]:
    row = await stage.db.row("SELECT count(*) AS found FROM smart_devices WHERE device_id = $1", name_of(one))
    assert row is not None
    if row["found"] == 0 and not insisted:
        return []
    return [] if row["found"] == 1 and await _opens(stage, one, PASSWORD) else ["it cannot log in"]


async def is_known_for_its_code(stage: Stage, one: Subject, insisted: bool) -> list[str]:
    row = await stage.db.row(
        "SELECT uses_left, (SELECT count(*) FROM smart_devices WHERE device_id = $2) AS devices"
        " FROM enrolment_codes WHERE code_sha256 = $1",
        digest_of(one.key),
        name_of(one),
    )
    assert row is not None
    wrong = (
        []
        if row["uses_left"] + row["devices"] == 1
        else [f"{row['devices']} devices, {row['uses_left']} uses left of 1"]
    )
    return wrong + await is_known_once(stage, one, insisted)


async def can_go_on(stage: Stage, one: Subject, _insisted: bool) -> list[str]:
    """The token that it has, the new one or the one whose exchange was never answered, gives the next pair."""
    if one.tokens is None:
        return []
    try:
        await do_refresh(stage, one)
    except Unauthenticated:
        return ["its refresh token is refused"]
    return []


async def nobody_goes_on(stage: Stage, one: Subject, insisted: bool) -> list[str]:
    if not insisted:
        return []
    one.tokens = one.newest
    return [] if await can_go_on(stage, one, insisted) else ["the family of a stolen token lives on"]


async def one_password_opens(stage: Stage, one: Subject, insisted: bool) -> list[str]:
    old, new = await _opens(stage, one, PASSWORD), await _opens(stage, one, NEW_PASSWORD)
    return [] if (new and not old) or (old and not new and not insisted) else [f"old opens: {old}, new opens: {new}"]


async def _opens(stage: Stage, one: Subject, password: str) -> bool:
    try:
        return bool(await log_in_with(stage, one, password))
    except Unauthenticated:
        return False


ACCOUNTS = (
    # a repeat after a lost answer finds its own name taken, its own password changed: the device logs in to see
    Scenario("register", do_register, nothing, is_known_once, frozenset({"device_taken"})),
    Scenario(
        "enrol", do_enrol, has_a_code, is_known_for_its_code, frozenset({"device_taken", "invalid_enrolment_code"})
    ),
    Scenario("login", do_log_in, do_register, can_go_on),
    Scenario("login that renews the hash", do_log_in, with_a_weak_hash, can_go_on),
    Scenario("refresh with a stolen token", do_refresh, stolen, nobody_goes_on, frozenset({"invalid_token"})),
    Scenario("refresh", do_refresh, logged_in, can_go_on),
    Scenario(
        "change the password", do_change_password, logged_in, one_password_opens, frozenset({"invalid_credentials"})
    ),
)
