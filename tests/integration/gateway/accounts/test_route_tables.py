"""The gateway's route tables: fully documented, and authenticated where they must be."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from autogrocery.gateway.app import NO_TOKEN_PATHS, guard, internal_routes, public_routes
from autogrocery.gateway.deps import AccountDeps
from autogrocery.gateway.routes.limits import make_rate_limits
from autogrocery.gateway.settings import RateSettings
from autogrocery.kit.http.app import App, Guard, Route
from autogrocery.kit.http.openapi import document
from autogrocery.kit.security.tokens import Verifier

NOTHING: Any = None  # routes only bind it
SCOPES = {"orders:read", "orders:write", "catalog:read", "restock:read", "restock:write", "ops:read", "ops:write"}


@pytest.fixture
def accounts() -> AccountDeps:
    verifier = Verifier([bytes(32)], issuer="tests", audience="tests")
    return AccountDeps(NOTHING, NOTHING, NOTHING, verifier, verifier, NOTHING, "open")


@pytest.fixture
def public(accounts: AccountDeps) -> list[Route]:
    return public_routes(NOTHING, accounts, make_rate_limits(RateSettings()))


@pytest.fixture
def internal(accounts: AccountDeps) -> list[Route]:
    return internal_routes(NOTHING, accounts, NOTHING, make_rate_limits(RateSettings()))


def test_public_openapi_document_is_valid_and_complete(public: list[Route]) -> None:
    spec = document(public, "gateway")
    assert not list(OpenAPIV31SpecValidator(spec).iter_errors())
    documented = {(method.upper(), path) for path, operations in spec["paths"].items() for method in operations}
    assert documented == {(route.method, route.path) for route in public}


def test_internal_routes_make_a_valid_openapi_document(internal: list[Route]) -> None:
    assert not list(OpenAPIV31SpecValidator(document(internal, "gateway")).iter_errors())


def test_every_route_has_a_summary(public: list[Route], internal: list[Route]) -> None:
    assert not [route.path for route in [*public, *internal] if not route.summary]


def test_no_token_paths_are_register_login_and_refresh() -> None:
    assert {path.rsplit("/", 1)[1] for path in NO_TOKEN_PATHS} == {"register", "login", "refresh"}


def test_every_public_route_needs_a_token_except_no_token_paths(public: list[Route], accounts: AccountDeps) -> None:
    public_guard = guard(accounts)
    for route in public:
        assert route.auth == (public_guard.covers(route.path)), route.path
    App(public, public_guard)


def test_public_listener_has_no_internal_route(public: list[Route]) -> None:
    assert not [route.path for route in public if route.path.startswith(("/internal", "/metrics", "/status"))]


def test_every_route_scope_is_a_known_scope(public: list[Route], internal: list[Route]) -> None:
    assert {route.scope for route in [*public, *internal] if route.scope} <= SCOPES


def test_every_webhook_route_checks_a_signature(internal: list[Route], accounts: AccountDeps) -> None:
    webhooks = [route for route in internal if "/webhook/" in route.path]
    assert webhooks
    assert all(route.check is not None for route in webhooks)
    App(internal, Guard(accounts.operator_verifier.verify, ("/internal/ops",)))


def test_every_body_type_forbids_unknown_fields(public: list[Route], internal: list[Route]) -> None:
    bodies = [route.body for route in [*public, *internal] if route.body is not None]
    assert all(body.__struct_config__.forbid_unknown_fields for body in bodies)
