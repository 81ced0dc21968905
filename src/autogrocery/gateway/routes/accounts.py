"""The routes of accounts: registration, tokens, the own registry entry, and the list of disabled accounts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from autogrocery.contracts import registry
from autogrocery.gateway.actions.change_contact import change_contact
from autogrocery.gateway.actions.change_password import change_password
from autogrocery.gateway.actions.choose_alerts import choose_alerts
from autogrocery.gateway.actions.enrol import enrol
from autogrocery.gateway.actions.list_disabled import list_disabled
from autogrocery.gateway.actions.log_in import log_in
from autogrocery.gateway.actions.refresh import refresh
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.actions.view_account import view_account
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.wire.accounts import (
    AlertsIn,
    ContactIn,
    LoginIn,
    MeOut,
    PasswordIn,
    RegisteredOut,
    RegisterIn,
    TokensOut,
)
from autogrocery.kit.errors import Denied, Unauthenticated
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from collections.abc import Collection

    from autogrocery.gateway.deps import AccountDeps
    from autogrocery.gateway.routes.limits import RateLimits
    from autogrocery.kit.security.rate_limit import RateLimit

OPEN, CLOSED = "open", "closed"  # values of the setting REGISTRATION
DEVICES = frozenset({Kind.DEVICE})
TRUCKS = frozenset({Kind.TRUCK})
STAFF = frozenset({Kind.ROBOT, Kind.OPERATOR})


def account_routes(accounts: AccountDeps, limits: RateLimits) -> list[Route]:
    """Return the accounts' routes of the public listener, docs/CONTRACT.md#public-rest."""
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
            summary="Register a device",
            errors=("403 registration_closed", "403 invalid_enrolment_code", "409 device_taken", "503 busy"),
        ),
        *_token_routes("/api/client", accounts, DEVICES, limit),
        *_token_routes("/api/truck", accounts, TRUCKS, limit),
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
            "PATCH",
            "/api/client/me",
            bind(_change_me),
            body=ContactIn,
            answer=MeOut,
            scope="orders:write",
            limit=limit,
            summary="Change e-mail address, telephone number and alerts; receipts that a bad address held up are sent",
        ),
        Route(
            "POST",
            "/api/client/alerts",
            bind(_alerts),
            body=AlertsIn,
            answer=MeOut,
            scope="orders:write",
            limit=limit,
            summary="Choose the SMS alerts: none, of trouble (the default), or of every order's end",
        ),
    ]


def internal_account_routes(accounts: AccountDeps, limits: RateLimits) -> list[Route]:
    """Return the token routes of operators and robots, and the list of disabled accounts, which needs no token."""
    return [
        *_token_routes("/internal", accounts, STAFF, limits.logins),
        Route(
            "GET",
            registry.PATH,
            partial(_disabled, accounts=accounts),
            answer=registry.Disabled,
            auth=False,
            summary="The disabled accounts, for peers that verify tokens themselves",
        ),
    ]


def _token_routes(prefix: str, accounts: AccountDeps, kinds: Collection[Kind], limit: RateLimit) -> list[Route]:
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
            summary="The next tokens; the refresh token is the bearer token",
            errors=("401 invalid_token",),
        ),
    ]


async def _register(request: Request, *, accounts: AccountDeps) -> RegisteredOut:
    body: RegisterIn = request.body
    if accounts.registration == CLOSED:
        raise Denied("registration_closed", "only an operator registers devices here")
    add = register if accounts.registration == OPEN else partial(enrol, code=body.enrolment_code or "")
    user_id = await add(
        accounts.db, accounts.passwords, body.device_id, body.password, email=body.email, phone=body.phone
    )
    return RegisteredOut(body.device_id, user_id)


async def _log_in(request: Request, *, accounts: AccountDeps, kinds: Collection[Kind]) -> TokensOut:
    body: LoginIn = request.body
    with accounts.login_backoff.attempt(body.device_id, request.source):
        return await log_in(
            accounts.db, accounts.passwords, accounts.token_settings, body.device_id, body.password, kinds
        )


async def _refresh(request: Request, *, accounts: AccountDeps, kinds: Collection[Kind]) -> TokensOut:
    if request.bearer is None:
        raise Unauthenticated("invalid_token", "the refresh token is the bearer token here")
    return await refresh(accounts.db, accounts.token_settings, request.bearer, kinds)


async def _password(request: Request, *, accounts: AccountDeps) -> Answer:
    body: PasswordIn = request.body
    user_id = request.caller.user_id
    with accounts.login_backoff.attempt(request.caller.principal, request.source):
        await change_password(accounts.db, accounts.passwords, user_id, body.password, body.new_password)
    return Answer(status=204)


async def _disabled(_request: Request, *, accounts: AccountDeps) -> registry.Disabled:
    return await list_disabled(accounts.db)


async def _me(request: Request, *, accounts: AccountDeps) -> MeOut:
    return await view_account(accounts.db, request.caller.user_id)


async def _change_me(request: Request, *, accounts: AccountDeps) -> MeOut:
    body: ContactIn = request.body
    user_id = request.caller.user_id
    await change_contact(accounts.db, user_id, email=body.email, phone=body.phone, alerts=body.alerts)
    return await view_account(accounts.db, user_id)


async def _alerts(request: Request, *, accounts: AccountDeps) -> MeOut:
    body: AlertsIn = request.body
    return await choose_alerts(accounts.db, request.caller.user_id, body.alerts)
