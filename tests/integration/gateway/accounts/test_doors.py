"""The gateway's own route tables: documented whole, closed where they must be."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from autogrocery.gateway.app import EXEMPT, guard, internal_table, public_table
from autogrocery.gateway.routes.accounts import Accounts
from autogrocery.gateway.routes.limits import limits_of
from autogrocery.gateway.settings import Rates
from autogrocery.kit.http.app import App, Guard, Route
from autogrocery.kit.http.openapi import document
from autogrocery.kit.security.attempts import Attempts

NOTHING: Any = None  # the tables bind what they are given, and use it when they are asked
SCOPES = {"orders:read", "orders:write", "catalog:read", "restock:read", "restock:write", "ops:read", "ops:write"}


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(NOTHING, NOTHING, NOTHING, {}, Attempts())


@pytest.fixture
def public(accounts: Accounts) -> list[Route]:
    return public_table(NOTHING, accounts, limits_of(Rates()))


@pytest.fixture
def internal(accounts: Accounts) -> list[Route]:
    return internal_table(NOTHING, accounts, NOTHING, limits_of(Rates()))


def test_the_public_document_is_valid_and_whole(public: list[Route]) -> None:
    whole = document(public, "gateway")
    assert not list(OpenAPIV31SpecValidator(whole).iter_errors())
    told = {(method.upper(), path) for path, operations in whole["paths"].items() for method in operations}
    assert told == {(route.method, route.path) for route in public}


def test_the_internal_document_would_be_valid_too(internal: list[Route]) -> None:
    assert not list(OpenAPIV31SpecValidator(document(internal, "gateway")).iter_errors())


def test_every_route_has_a_summary(public: list[Route], internal: list[Route]) -> None:
    assert not [route.path for route in [*public, *internal] if not route.summary]


def test_exempt_are_register_login_and_refresh_and_nothing_else() -> None:
    assert {path.rsplit("/", 1)[1] for path in EXEMPT} == {"register", "login", "refresh"}


def test_every_public_route_below_the_prefixes_is_closed_but_the_exempt(
    public: list[Route], accounts: Accounts
) -> None:
    gate = guard(accounts)
    for route in public:
        assert route.auth == (gate.covers(route.path)), route.path
    App(public, gate)


def test_the_public_listener_has_nothing_internal(public: list[Route]) -> None:
    assert not [route.path for route in public if route.path.startswith(("/internal", "/metrics", "/status"))]


def test_every_scope_is_one_that_accounts_may_have(public: list[Route], internal: list[Route]) -> None:
    assert {route.scope for route in [*public, *internal] if route.scope} <= SCOPES


def test_webhooks_are_opened_by_a_signature_only(internal: list[Route], accounts: Accounts) -> None:
    webhooks = [route for route in internal if "/webhook/" in route.path]
    assert webhooks
    assert all(route.check is not None for route in webhooks)
    App(internal, Guard(accounts.verify_operator, ("/internal/ops",)))


def test_every_body_refuses_fields_it_does_not_know(public: list[Route], internal: list[Route]) -> None:
    bodies = [route.body for route in [*public, *internal] if route.body is not None]
    assert all(body.__struct_config__.forbid_unknown_fields for body in bodies)
