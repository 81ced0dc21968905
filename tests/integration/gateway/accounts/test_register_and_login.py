"""Registration and login: which accounts get tokens at which routes, and how all others are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bcrypt
import pytest

from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.loops import account_loops
from autogrocery.kit.security.tokens import Verifier
from tests.integration.gateway.accounts.conftest import KEY, PASSWORD, ROBOT_KEY, Reply

if TYPE_CHECKING:
    from tests.integration.gateway.accounts.conftest import AccountsGateway

LOGIN = "/api/client/login"


async def test_registered_device_logs_in_and_views_its_entry(gateway: AccountsGateway) -> None:
    body = {"device_id": "fridge-1", "password": PASSWORD, "email": "a@example.org", "phone": "+15550001111"}
    made = await gateway.post("/api/client/register", body)
    assert made.status == 201
    assert made.json == {"device_id": "fridge-1", "user_id": made.json["user_id"]}
    tokens = await gateway.log_in()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 900
    me = await gateway.get("/api/client/me", tokens["access_token"])
    assert me.json == {
        "user_id": made.json["user_id"],
        "device_id": "fridge-1",
        "kind": "device",
        "email": "a@example.org",
        "phone": "+15550001111",
        "robot_class": None,
        "scopes": ["orders:read", "orders:write", "catalog:read"],
        "alerts": "trouble",
    }


async def test_taken_device_id_returns_409_and_keeps_the_account(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    again = await gateway.post("/api/client/register", {"device_id": "fridge-1", "password": "another password"})
    assert (again.status, again.code) == (409, "device_taken")
    await gateway.log_in()


async def test_registry_stores_a_hash_and_never_returns_it(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    row = await gateway.db.row("SELECT password FROM smart_devices")
    assert row is not None
    assert row["password"].startswith("$2b$")
    me = await gateway.get("/api/client/me", (await gateway.log_in())["access_token"])
    assert b"$2b$" not in me.body


async def test_alert_preference_is_stored_and_returned(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    token = (await gateway.log_in())["access_token"]
    for choice in ("all", "none", "none", "trouble"):
        reply = await gateway.post("/api/client/alerts", {"alerts": choice}, token)
        assert (reply.status, reply.json["alerts"]) == (200, choice)
        row = await gateway.db.row("SELECT alerts_off_at IS NOT NULL AS off FROM smart_devices")
        assert row is not None
        assert row["off"] is (choice == "none")
    assert (await gateway.get("/api/client/me", token)).json["alerts"] == "trouble"


@pytest.mark.parametrize("body", [{}, {"alerts": "some"}, {"alerts": None}, {"alerts": "all", "phone": "+15550001111"}])
async def test_unknown_alert_preference_returns_422(gateway: AccountsGateway, body: dict[str, Any]) -> None:
    await gateway.add("fridge-1")
    reply = await gateway.post("/api/client/alerts", body, (await gateway.log_in())["access_token"])
    assert (reply.status, reply.code) == (422, "invalid_request")


REFUSED_REGISTRATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no device_id": ({"device_id": ...}, "/device_id"),
    "empty device_id": ({"device_id": ""}, "/device_id"),
    "device_id of 101": ({"device_id": "x" * 101}, "/device_id"),
    "device_id with a space": ({"device_id": "a b"}, "/device_id"),
    "device_id with a line": ({"device_id": "a\n"}, "/device_id"),
    "device_id beyond ASCII": ({"device_id": "kühl"}, "/device_id"),
    "device_id a number": ({"device_id": 5}, "/device_id"),
    "no password": ({"password": ...}, "/password"),
    "password of 11 bytes": ({"password": "x" * 11}, "/password"),
    "password of 73 bytes": ({"password": "x" * 73}, "/password"),
    "password of 73 bytes in 37 letters": ({"password": "é" * 36 + "x"}, "/password"),
    "password null": ({"password": None}, "/password"),
    "email without @": ({"email": "nobody"}, "/email"),
    "email of two lines": ({"email": "a@b.c\nBcc: x@y.z"}, "/email"),
    "email with a name": ({"email": "A <a@b.c>"}, "/email"),
    "email of 256": ({"email": "a@" + "b" * 254}, "/email"),
    "email of 255 bytes": ({"email": f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 62}"}, "/email"),
    "email with a comma": ({"email": "anna@example.com,"}, "/email"),
    "two emails": ({"email": "anna@example.com,b@example.com"}, "/email"),
    "email in brackets": ({"email": "<anna@example.com>"}, "/email"),
    "email with a dot before the @": ({"email": "anna.@example.com"}, "/email"),
    "email with a dot at its end": ({"email": "anna@example.com."}, "/email"),
    "email with two @": ({"email": "anna@b@example.com"}, "/email"),
    "email with a blank": ({"email": "an na@example.com"}, "/email"),
    "email with a control": ({"email": "anna\x1b@example.com"}, "/email"),
    "email of an IP address": ({"email": "anna@[127.0.0.1]"}, "/email"),
    "empty email": ({"email": ""}, "/email"),
    "phone without plus": ({"phone": "15550001111"}, "/phone"),
    "phone in words": ({"phone": "+call me"}, "/phone"),
    "phone too long": ({"phone": "+1234567890123456"}, "/phone"),
    "phone with a line": ({"phone": "+15550001111\n"}, "/phone"),
    "phone from zero": ({"phone": "+05550001111"}, "/phone"),
    "kind": ({"kind": "operator"}, "/kind"),
    "scopes": ({"scopes": ["ops:write"]}, "/scopes"),
}


@pytest.mark.parametrize(("changes", "pointer"), REFUSED_REGISTRATIONS.values(), ids=REFUSED_REGISTRATIONS.keys())
async def test_invalid_registration_returns_422_with_its_pointer(
    gateway: AccountsGateway, changes: dict[str, Any], pointer: str
) -> None:
    body = {"device_id": "fridge-1", "password": PASSWORD} | changes
    reply = await gateway.post(
        "/api/client/register", {name: value for name, value in body.items() if value is not ...}
    )
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [pointer]
    row = await gateway.db.row("SELECT count(*) AS n FROM smart_devices")
    assert row is not None
    assert row["n"] == 0


async def test_domain_beyond_ascii_is_stored_as_a_labels(gateway: AccountsGateway) -> None:
    body = {"device_id": "fridge-1", "password": PASSWORD, "email": "anna@Bücher.example"}
    assert (await gateway.post("/api/client/register", body)).status == 201
    me = await gateway.get("/api/client/me", (await gateway.log_in())["access_token"])
    assert me.json["email"] == "anna@xn--bcher-kva.example"


async def patch(gateway: AccountsGateway, body: Any, token: str | None = None) -> Reply:
    token = token or (await gateway.log_in())["access_token"]
    return await gateway.request("PATCH", f"{gateway.public}/api/client/me", body, token)


async def test_patch_changes_what_it_names_and_null_removes(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    token = (await gateway.log_in())["access_token"]
    expected = (await gateway.get("/api/client/me", token)).json
    for body, changed in (
        ({"email": "anna@bücher.example"}, {"email": "anna@xn--bcher-kva.example"}),
        ({"phone": "+15550001111", "alerts": "none"}, {"phone": "+15550001111", "alerts": "none"}),
        ({}, {}),
        ({"alerts": "all", "email": None}, {"alerts": "all", "email": None}),
        ({"phone": None}, {"phone": None}),
    ):
        expected |= changed
        reply = await patch(gateway, body, token)
        assert (reply.status, reply.json) == (200, expected)
        assert (await gateway.get("/api/client/me", token)).json == expected
        row = await gateway.db.row("SELECT alerts_off_at IS NOT NULL AS off FROM smart_devices")
        assert row is not None
        assert row["off"] is (expected["alerts"] == "none")


REFUSED_PATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "bad email": ({"email": "anna@example.com,", "phone": "+15550001111"}, "/email"),
    "bad phone": ({"email": "b@example.com", "phone": "call me"}, "/phone"),
    "alerts null": ({"alerts": None}, "/alerts"),
    "unknown alerts": ({"alerts": "some"}, "/alerts"),
    "email a number": ({"email": 5}, "/email"),
    "password": ({"password": "x" * 12}, "/password"),
    "kind": ({"email": "b@example.com", "kind": "operator"}, "/kind"),
    "scopes": ({"scopes": ["ops:write"]}, "/scopes"),
}


@pytest.mark.parametrize(("body", "pointer"), REFUSED_PATCHES.values(), ids=REFUSED_PATCHES.keys())
async def test_refused_patch_changes_nothing(gateway: AccountsGateway, body: dict[str, Any], pointer: str) -> None:
    await gateway.add("fridge-1")
    token = (await gateway.log_in())["access_token"]
    before = (await gateway.get("/api/client/me", token)).json
    reply = await patch(gateway, body, token)
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [pointer]
    assert (await gateway.get("/api/client/me", token)).json == before


async def test_patch_needs_the_scope_orders_write(gateway: AccountsGateway) -> None:
    await gateway.add("truck-1", Kind.TRUCK)
    reply = await gateway.post("/api/truck/login", {"device_id": "truck-1", "password": PASSWORD})
    refused = await patch(gateway, {"email": "b@example.com"}, reply.json["access_token"])
    assert (refused.status, refused.code) == (403, "insufficient_scope")


async def test_registration_with_nul_in_password_returns_422(gateway: AccountsGateway) -> None:
    reply = await gateway.post("/api/client/register", {"device_id": "fridge-1", "password": PASSWORD + "\0"})
    assert (reply.status, reply.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "password", ["x" * 12, "x" * 72, "é" * 36, " leading and trailing ", '"; DROP TABLE smart_devices; --']
)
async def test_password_of_12_to_72_bytes_is_accepted(gateway: AccountsGateway, password: str) -> None:
    await gateway.add("fridge-1", password=password)
    await gateway.log_in(password=password)


REFUSED_LOGINS = {
    "wrong": {"password": "wrong horse battery"},
    "unknown": {"device_id": "fridge-2"},
    "empty": {"password": ""},
    "NUL": {"password": PASSWORD + "\0"},
    "1,025 bytes": {"password": "x" * 1_025},
    "10,000 bytes": {"password": "x" * 10_000},
    "other case": {"device_id": "Fridge-1"},
    "device with NUL": {"device_id": "fridge-1\0"},
    "device of 5,000": {"device_id": "x" * 5_000},
    "no device": {"device_id": ""},
    "device beyond ASCII": {"device_id": "kühlschrank"},
    "SQL": {"device_id": "' OR 1=1 --"},
    "truck": {"device_id": "truck-1"},
    "operator": {"device_id": "op-1"},
    "robot": {"device_id": "robot-1"},
    "disabled": {"device_id": "closed-1"},
}


@pytest.mark.parametrize("changes", REFUSED_LOGINS.values(), ids=REFUSED_LOGINS.keys())
async def test_every_failed_login_returns_the_same_401(gateway: AccountsGateway, changes: dict[str, str]) -> None:
    await gateway.add("fridge-1")
    await gateway.add("closed-1")
    await gateway.add("truck-1", Kind.TRUCK)
    await gateway.add("op-1", Kind.OPERATOR)
    await gateway.add("robot-1", Kind.ROBOT, robot_class="dairy")
    await gateway.db.run("UPDATE smart_devices SET disabled_at = now() WHERE device_id = 'closed-1'")
    reply = await gateway.post(LOGIN, {"device_id": "fridge-1", "password": PASSWORD} | changes)
    problem = reply.json
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    del problem["request_id"]
    assert problem == {
        "type": "/docs#invalid_credentials",
        "title": "Invalid credentials",
        "status": 401,
        "detail": "device id or password is wrong",
        "code": "invalid_credentials",
        "retryable": False,
    }


@pytest.mark.parametrize(
    "body", [{}, {"device_id": "a"}, {"device_id": "a", "password": 5}, {"device_id": "a", "password": "b", "x": 1}]
)
async def test_login_of_wrong_shape_returns_422(gateway: AccountsGateway, body: dict[str, Any]) -> None:
    assert (await gateway.post(LOGIN, body)).code == "invalid_request"


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("length", [5, 72, 100])
async def test_account_with_the_seed_columns_only_can_log_in(
    gateway: AccountsGateway, prefix: str, length: int
) -> None:
    password = ("päss" * 40).encode()[:length].decode(errors="ignore")
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", prefix)
    await gateway.db.run(
        "INSERT INTO smart_devices (device_id, password, email, phone) VALUES ('old-1', $1, 'a@b.c', '555')", hashed
    )
    tokens = await gateway.log_in("old-1", password)
    assert (await gateway.get("/api/client/me", tokens["access_token"])).json["kind"] == "device"


@pytest.mark.parametrize("hashed", ["$2b$", "$2b$31$" + "x" * 53, "$2b$04$" + "!" * 53])
async def test_login_with_malformed_stored_hash_returns_401(gateway: AccountsGateway, hashed: str) -> None:
    await gateway.db.run("INSERT INTO smart_devices (device_id, password) VALUES ('old-1', $1)", hashed)
    assert (await gateway.post(LOGIN, {"device_id": "old-1", "password": PASSWORD})).code == "invalid_credentials"


async def test_operators_and_robots_log_in_at_the_internal_listener(gateway: AccountsGateway) -> None:
    await gateway.add("op-1", Kind.OPERATOR)
    robot = await gateway.add("robot-1", Kind.ROBOT, robot_class="dairy")
    await gateway.add("fridge-1")
    answers = {
        name: await gateway.post("/internal/login", {"device_id": name, "password": PASSWORD}, inside=True)
        for name in ("op-1", "robot-1", "fridge-1")
    }
    assert {name: reply.status for name, reply in answers.items()} == {"op-1": 200, "robot-1": 200, "fridge-1": 401}
    assert gateway.accounts.operator_verifier.verify(answers["op-1"].json["access_token"]).scopes == {
        "ops:read",
        "ops:write",
    }
    inventory = Verifier((ROBOT_KEY,), issuer="autogrocery", audience="inventory")
    claims = inventory.verify(answers["robot-1"].json["access_token"])
    assert (claims.user_id, claims.principal, claims.scopes) == (robot, "robot-1", {"robot:pick:dairy"})


async def test_operator_and_robot_tokens_are_refused_at_the_public_listener(gateway: AccountsGateway) -> None:
    await gateway.add("op-1", Kind.OPERATOR)
    await gateway.add("robot-1", Kind.ROBOT, robot_class="meat")
    for name in ("op-1", "robot-1"):
        inside = await gateway.post("/internal/login", {"device_id": name, "password": PASSWORD}, inside=True)
        assert (await gateway.get("/api/client/me", inside.json["access_token"])).code == "invalid_token"


async def test_own_scopes_replace_the_scopes_of_the_kind(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    await gateway.db.run("UPDATE smart_devices SET scopes = ARRAY['orders:read']")
    token = (await gateway.log_in())["access_token"]
    assert Verifier((KEY,), issuer="autogrocery", audience="ordering").verify(token).scopes == {"orders:read"}


async def test_login_replaces_a_hash_of_lower_cost(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    gateway.accounts.passwords.cost = 5
    await gateway.log_in()
    row = await gateway.db.row("SELECT password FROM smart_devices")
    assert row is not None
    assert row["password"].startswith("$2b$05$")
    await gateway.log_in()


async def test_valid_token_of_disabled_device_returns_401(gateway: AccountsGateway) -> None:
    user_id = await gateway.add("fridge-1")
    token = (await gateway.log_in())["access_token"]
    assert (await gateway.get("/api/client/me", token)).status == 200
    await gateway.db.run("UPDATE smart_devices SET disabled_at = now() WHERE id = $1", user_id)
    (refresh_disabled, _) = account_loops(gateway.accounts)
    await refresh_disabled._action()
    assert (await gateway.get("/api/client/me", token)).code == "invalid_token"


async def test_token_response_has_cache_control_no_store(gateway: AccountsGateway) -> None:
    await gateway.add("fridge-1")
    reply = await gateway.post(LOGIN, {"device_id": "fridge-1", "password": PASSWORD})
    assert reply.headers["cache-control"] == "no-store"
