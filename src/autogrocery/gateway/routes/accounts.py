"""The doors of accounts, public and internal, and what stands behind them: password workers, verifiers, one loop."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from autogrocery.contracts import registry
from autogrocery.gateway.actions.enrol import enrol
from autogrocery.gateway.actions.log_in import ISSUER, Issuing, change_password, log_in, refresh
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import Audience, Kind
from autogrocery.gateway.store import devices, refresh_tokens
from autogrocery.gateway.wire.accounts import (
    AlertsIn,
    LoginIn,
    MeOut,
    PasswordIn,
    RegisteredOut,
    RegisterIn,
    TokensOut,
)
from autogrocery.kit.errors import Denied, Unauthenticated
from autogrocery.kit.http.route import Answer, Request, Route
from autogrocery.kit.process.loops import Loop
from autogrocery.kit.security.attempts import Attempts
from autogrocery.kit.security.passwords import open_passwords
from autogrocery.kit.security.tokens import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from autogrocery.gateway.routes.limits import Limits
    from autogrocery.gateway.settings import GatewaySettings
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import Passwords
    from autogrocery.kit.security.rates import Limit
    from autogrocery.kit.security.tokens import Claims

DISABLED_EVERY_S = 30.0
FORGET_EVERY_S = 3_600.0
OPEN, CLOSED = "open", "closed"  # of REGISTRATION
DEVICES = frozenset({Kind.DEVICE})
TRUCKS = frozenset({Kind.TRUCK})
STAFF = frozenset({Kind.ROBOT, Kind.OPERATOR})


class Accounts:
    """The registry at work."""

    def __init__(
        self,
        db: Db,
        passwords: Passwords,
        issuing: Issuing,
        verifiers: dict[Audience, Verifier],
        attempts: Attempts,
        registration: str = OPEN,
    ) -> None:
        self.db = db
        self.passwords = passwords
        self.issuing = issuing
        self.attempts = attempts
        self.registration = registration
        self._verifiers = verifiers

    def verify_device(self, token: str) -> Claims:
        """Verify a device's or truck's token; raises Unauthenticated(invalid_token)."""
        return self._verifiers[Audience.ORDERING].verify(token)

    def verify_operator(self, token: str) -> Claims:
        """Verify an operator's token; raises Unauthenticated(invalid_token)."""
        return self._verifiers[Audience.OPS].verify(token)

    def loops(self) -> list[Loop]:
        """Return what the clock starts: the list of disabled accounts, and forgetting old tokens."""

        async def list_disabled() -> bool:
            disabled = await devices.list_disabled(self.db)
            for verifier in self._verifiers.values():
                verifier.disabled = disabled
            return False

        async def forget() -> bool:
            await refresh_tokens.forget_expired(self.db)
            return False

        return [Loop("disabled", DISABLED_EVERY_S, list_disabled), Loop("forget", FORGET_EVERY_S, forget)]


@asynccontextmanager
async def open_accounts(
    db: Db, settings: GatewaySettings, keys: tuple[bytes, ...], robot_keys: tuple[bytes, ...]
) -> AsyncIterator[Accounts]:
    """Start the password workers; the first key of each list signs, all verify."""
    issuing = Issuing(keys[0], robot_keys[0], settings.access_token_ttl_s, settings.refresh_token_ttl_s)
    verifiers = {who: Verifier(keys, issuer=ISSUER, audience=who) for who in (Audience.ORDERING, Audience.OPS)}
    async with open_passwords(settings.bcrypt_cost) as passwords:
        attempts = Attempts(settings.login_wait_max_s)
        yield Accounts(db, passwords, issuing, verifiers, attempts, settings.registration)


def account_routes(accounts: Accounts, limits: Limits) -> list[Route]:
    """Return the rows of CONTRACT §2 about accounts."""
    limit = limits.logins
    bind = partial(partial, accounts=accounts)
    return [
        Route(
            "POST",
            "/api/client/register",
            bind(_register),
            body=RegisterIn,
            answer=RegisteredOut,
            status=201,
            auth=False,
            limit=limits.registrations,
            summary="Make a device known",
            errors=("403 registration_closed", "403 invalid_enrolment_code", "409 device_taken", "503 busy"),
        ),
        *_doors("/api/client", accounts, DEVICES, limit),
        *_doors("/api/truck", accounts, TRUCKS, limit),
        Route(
            "POST",
            "/api/client/password",
            bind(_password),
            body=PasswordIn,
            status=204,
            limit=limit,
            summary="Change the password; refresh tokens end",
            errors=("401 invalid_credentials", "503 busy"),
        ),
        Route("GET", "/api/client/me", bind(_me), answer=MeOut, summary="The registry entry, without the password"),
        Route(
            "POST",
            "/api/client/alerts",
            bind(_alerts),
            body=AlertsIn,
            answer=MeOut,
            scope="orders:write",
            limit=limit,
            summary="Choose what to hear of by SMS: nothing, trouble (at first), or every order's end",
        ),
    ]


def internal_account_routes(accounts: Accounts, limits: Limits) -> list[Route]:
    """Return the doors of operators and robots, and the list of accounts without one."""
    return [
        *_doors("/internal", accounts, STAFF, limits.logins),
        Route(
            "GET",
            registry.PATH,
            partial(_disabled, accounts=accounts),
            answer=registry.Disabled,
            auth=False,
            summary="Accounts that are shut out, for whoever verifies tokens without us",
        ),
    ]


def _doors(prefix: str, accounts: Accounts, kinds: Collection[Kind], limit: Limit) -> list[Route]:
    bind = partial(partial, accounts=accounts, kinds=kinds)
    return [
        Route(
            "POST",
            f"{prefix}/login",
            bind(_log_in),
            body=LoginIn,
            answer=TokensOut,
            auth=False,
            limit=limit,
            takes_nul=True,
            summary="Tokens for a password",
            errors=("401 invalid_credentials", "503 busy"),
        ),
        Route(
            "POST",
            f"{prefix}/refresh",
            bind(_refresh),
            answer=TokensOut,
            auth=False,
            limit=limit,
            summary="The next tokens; the refresh token is the bearer",
            errors=("401 invalid_token",),
        ),
    ]


async def _register(request: Request, *, accounts: Accounts) -> RegisteredOut:
    body: RegisterIn = request.body
    if accounts.registration == CLOSED:
        raise Denied("registration_closed", "devices are made known by an operator here")
    add = register if accounts.registration == OPEN else partial(enrol, code=body.enrolment_code or "")
    user_id = await add(
        accounts.db, accounts.passwords, body.device_id, body.password, email=body.email, phone=body.phone
    )
    return RegisteredOut(body.device_id, user_id)


async def _log_in(request: Request, *, accounts: Accounts, kinds: Collection[Kind]) -> TokensOut:
    body: LoginIn = request.body
    with accounts.attempts.guess(body.device_id, request.source):
        return await log_in(accounts.db, accounts.passwords, accounts.issuing, body.device_id, body.password, kinds)


async def _refresh(request: Request, *, accounts: Accounts, kinds: Collection[Kind]) -> TokensOut:
    if request.bearer is None:
        raise Unauthenticated("invalid_token", "the refresh token is the bearer token here")
    return await refresh(accounts.db, accounts.issuing, request.bearer, kinds)


async def _password(request: Request, *, accounts: Accounts) -> Answer:
    body: PasswordIn = request.body
    user_id = request.caller.user_id
    with accounts.attempts.guess(request.caller.device_id, request.source):
        await change_password(accounts.db, accounts.passwords, user_id, body.password, body.new_password)
    return Answer(status=204)


async def _disabled(_request: Request, *, accounts: Accounts) -> registry.Disabled:
    return registry.Disabled(tuple(sorted(await devices.list_disabled(accounts.db))))


async def _me(request: Request, *, accounts: Accounts) -> MeOut:
    known = await devices.get_by_id(accounts.db, request.caller.user_id)
    if known is None:
        raise Unauthenticated("invalid_token", "this account is gone")
    return MeOut(
        known.user_id,
        known.device_id,
        known.kind,
        known.email,
        known.phone,
        known.robot_class,
        known.scopes,
        known.alerts,
    )


async def _alerts(request: Request, *, accounts: Accounts) -> MeOut:
    body: AlertsIn = request.body
    await devices.set_alerts(accounts.db, request.caller.user_id, body.alerts)
    return await _me(request, accounts=accounts)
