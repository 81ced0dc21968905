"""Scenarios of accounts for fault injection at every point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bcrypt

from autogrocery.gateway.actions.change_password import change_password
from autogrocery.gateway.actions.enrol import enrol
from autogrocery.gateway.actions.log_in import log_in
from autogrocery.gateway.actions.refresh import refresh
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.enrolment import digest_of
from autogrocery.gateway.routes.accounts import DEVICES
from autogrocery.gateway.store import enrolments
from autogrocery.kit.errors import Unauthenticated
from tests.proofs.enumeration.scenario import Scenario, no_preparation

if TYPE_CHECKING:
    from autogrocery.gateway.wire.accounts import TokensOut
    from tests.proofs.enumeration.gateway_environment import GatewayEnvironment
    from tests.proofs.enumeration.scenario import Subject

PASSWORD, NEW_PASSWORD = "correct horse battery", "staple correct horse"


def name_of(subject: Subject) -> str:
    return f"fridge-{subject.key}"


async def do_register(env: GatewayEnvironment, subject: Subject) -> object:
    subject.user_id = await register(env.db, env.accounts.passwords, name_of(subject), PASSWORD)
    return subject.user_id


async def do_enrol(env: GatewayEnvironment, subject: Subject) -> object:
    code = subject.key
    subject.user_id = await enrol(
        env.db, env.accounts.passwords, name_of(subject), PASSWORD, email=None, phone=None, code=code
    )
    return subject.user_id


async def has_a_code(env: GatewayEnvironment, subject: Subject) -> None:
    await enrolments.add(env.db, digest_of(subject.key), uses=1, days=1)


async def do_log_in(env: GatewayEnvironment, subject: Subject) -> object:
    subject.tokens = await log_in_with(env, subject, PASSWORD)
    return subject.tokens


async def log_in_with(env: GatewayEnvironment, subject: Subject, password: str) -> TokensOut:
    accounts = env.accounts
    return await log_in(env.db, accounts.passwords, accounts.token_settings, name_of(subject), password, DEVICES)


async def do_refresh(env: GatewayEnvironment, subject: Subject) -> object:
    assert subject.tokens is not None
    subject.tokens = await refresh(env.db, env.accounts.token_settings, subject.tokens.refresh_token, DEVICES)
    return subject.tokens


async def do_change_password(env: GatewayEnvironment, subject: Subject) -> object:
    return await change_password(env.db, env.accounts.passwords, subject.user_id, PASSWORD, NEW_PASSWORD)


async def logged_in(env: GatewayEnvironment, subject: Subject) -> None:
    await do_register(env, subject)
    await do_log_in(env, subject)


async def with_a_weak_hash(env: GatewayEnvironment, subject: Subject) -> None:
    """Register, with a password hash of a lower cost than today's."""
    await do_register(env, subject)
    weak = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await env.db.run("UPDATE smart_devices SET password = $2 WHERE device_id = $1", name_of(subject), weak)


async def stolen(env: GatewayEnvironment, subject: Subject) -> None:
    """The first refresh token is stolen; its owner has refreshed twice since."""
    await logged_in(env, subject)
    first = subject.tokens
    await do_refresh(env, subject)
    await do_refresh(env, subject)
    subject.newest, subject.tokens = subject.tokens, first


async def can_log_in(env: GatewayEnvironment, subject: Subject, retried: bool) -> list[str]:
    row = await env.db.row("SELECT count(*) AS found FROM smart_devices WHERE device_id = $1", name_of(subject))
    assert row is not None
    if row["found"] == 0 and not retried:
        return []
    return [] if row["found"] == 1 and await _logs_in(env, subject, PASSWORD) else ["it cannot log in"]


async def code_is_used_once(env: GatewayEnvironment, subject: Subject, retried: bool) -> list[str]:
    row = await env.db.row(
        "SELECT uses_left, (SELECT count(*) FROM smart_devices WHERE device_id = $2) AS devices"
        " FROM enrolment_codes WHERE code_sha256 = $1",
        digest_of(subject.key),
        name_of(subject),
    )
    assert row is not None
    failures = (
        []
        if row["uses_left"] + row["devices"] == 1
        else [f"{row['devices']} devices, {row['uses_left']} uses left of 1"]
    )
    return failures + await can_log_in(env, subject, retried)


async def can_refresh(env: GatewayEnvironment, subject: Subject, _retried: bool) -> list[str]:
    """Fail unless the device's refresh token, new or exchanged without an answer, gives the next pair."""
    if subject.tokens is None:
        return []
    try:
        await do_refresh(env, subject)
    except Unauthenticated:
        return ["its refresh token is refused"]
    return []


async def family_is_revoked(env: GatewayEnvironment, subject: Subject, retried: bool) -> list[str]:
    if not retried:
        return []
    subject.tokens = subject.newest
    return [] if await can_refresh(env, subject, retried) else ["the family of a stolen token was not revoked"]


async def one_password_logs_in(env: GatewayEnvironment, subject: Subject, retried: bool) -> list[str]:
    old, new = await _logs_in(env, subject, PASSWORD), await _logs_in(env, subject, NEW_PASSWORD)
    return [] if (new and not old) or (old and not new and not retried) else [f"old opens: {old}, new opens: {new}"]


async def _logs_in(env: GatewayEnvironment, subject: Subject, password: str) -> bool:
    try:
        return bool(await log_in_with(env, subject, password))
    except Unauthenticated:
        return False


ACCOUNTS = (
    # a retry after a lost response finds its own name taken or its own password changed: the device logs in to find out
    Scenario("register", do_register, no_preparation, can_log_in, frozenset({"device_taken"})),
    Scenario("enrol", do_enrol, has_a_code, code_is_used_once, frozenset({"device_taken", "invalid_enrolment_code"})),
    Scenario("login", do_log_in, do_register, can_refresh),
    Scenario("login that renews the hash", do_log_in, with_a_weak_hash, can_refresh),
    Scenario("refresh with a stolen token", do_refresh, stolen, family_is_revoked, frozenset({"invalid_token"})),
    Scenario("refresh", do_refresh, logged_in, can_refresh),
    Scenario(
        "change the password", do_change_password, logged_in, one_password_logs_in, frozenset({"invalid_credentials"})
    ),
)
