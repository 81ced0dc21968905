"""Forged webhooks over HTTP at the internal listener: each returns 401, and the order does not change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from tests.harness.running_gateway import DEVICE_KEY, ROBOT_KEY, WEBHOOK, WEBHOOK_KEYS, serve_gateway, webhook_body
from tests.security.callers import issue, robot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.harness.running_gateway import Reply, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY: Final = base64.b64decode(WEBHOOK_KEYS[0].removeprefix("whsec_"))
SECOND: Final = base64.b64decode(WEBHOOK_KEYS[1].removeprefix("whsec_"))
ID: Final = "msg_forged"


def sign(
    body: bytes, at: object, *, webhook_id: str = ID, key: bytes = KEY, digest: str = "sha256", join: str = "."
) -> str:
    signed = join.join((webhook_id, str(at), "")).encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, digest)).decode()


class SignedWebhook:
    """A valid webhook for an order, to be changed."""

    def __init__(self, order_id: str) -> None:
        self.body = json.dumps(webhook_body(order_id)).encode()
        self.at = int(time.time())

    def fields(self, **changes: str | None) -> dict[str, str]:
        """Return the valid headers with changes; None removes one."""
        good = {"id": ID, "timestamp": str(self.at), "signature": sign(self.body, self.at)}
        return {f"webhook-{name}": value for name, value in (good | changes).items() if value is not None}

    def signed_at(self, at: object) -> dict[str, str]:
        return self.fields(timestamp=str(at), signature=sign(self.body, at))

    def signature(self, value: str) -> dict[str, str]:
        return self.fields(signature=value)


def token_of(name: str) -> str:
    return {
        "device": issue("d", 7, "ordering", ("orders:write",)),
        "robot": robot("dairy-1", "dairy"),
        "operator": issue("o", 7, "ops", ("ops:write",)),
    }[name]


FORGED: Final[dict[str, Callable[[SignedWebhook], dict[str, str]]]] = {
    "no id": lambda d: d.fields(id=None),
    "no timestamp": lambda d: d.fields(timestamp=None),
    "no signature": lambda d: d.fields(signature=None),
    "nothing at all": lambda _: {},
    "a device's token instead": lambda _: {"authorization": f"Bearer {token_of('device')}"},
    "a robot's token instead": lambda _: {"authorization": f"Bearer {token_of('robot')}"},
    "an operator's token instead": lambda _: {"authorization": f"Bearer {token_of('operator')}"},
    "an operator's token beside a wrong signature": lambda d: (
        d.signature("v1,AAAA") | {"authorization": f"Bearer {token_of('operator')}"}
    ),
    "another id": lambda d: d.fields(id="msg_other"),
    "an empty id": lambda d: d.fields(id="", signature=sign(d.body, d.at, webhook_id="")),
    "an id with a dot, shifted": lambda d: d.fields(id=f"{ID}.{d.at}", signature=sign(d.body, d.at)),
    "an id of 256 letters": lambda d: d.fields(id="m" * 256, signature=sign(d.body, d.at, webhook_id="m" * 256)),
    "another timestamp": lambda d: d.fields(timestamp=str(d.at + 1)),
    "301 s old": lambda d: d.signed_at(d.at - 302),
    "301 s ahead": lambda d: d.signed_at(d.at + 302),
    "from 1970": lambda d: d.signed_at(0),
    "in milliseconds": lambda d: d.signed_at(d.at * 1000),
    "a fraction of a second": lambda d: d.signed_at(f"{d.at}.0"),
    "a signed timestamp": lambda d: d.signed_at(f"+{d.at}"),
    "a negative timestamp": lambda d: d.signed_at(-d.at),
    "a timestamp in words": lambda d: d.signed_at("now"),
    "a timestamp in hexadecimal": lambda d: d.signed_at(hex(d.at)),
    "a timestamp of 40 digits": lambda d: d.signed_at("9" * 40),
    "the key of devices' tokens": lambda d: d.signature(sign(d.body, d.at, key=DEVICE_KEY.encode())),
    "the key of robots' tokens": lambda d: d.signature(sign(d.body, d.at, key=ROBOT_KEY.encode())),
    "the secret as it is written": lambda d: d.signature(sign(d.body, d.at, key=WEBHOOK_KEYS[0].encode())),
    "an empty key": lambda d: d.signature(sign(d.body, d.at, key=b"")),
    "half of the key": lambda d: d.signature(sign(d.body, d.at, key=KEY[:16])),
    "SHA-1": lambda d: d.signature(sign(d.body, d.at, digest="sha1")),
    "SHA-512": lambda d: d.signature(sign(d.body, d.at, digest="sha512")),
    "another separator": lambda d: d.signature(sign(d.body, d.at, join=":")),
    "over the body alone": lambda d: d.signature("v1," + base64.b64encode(hmac.digest(KEY, d.body, "sha256")).decode()),
    "a hash without a key": lambda d: d.signature("v1," + base64.b64encode(hashlib.sha256(d.body).digest()).decode()),
    "another version": lambda d: d.signature(sign(d.body, d.at).replace("v1", "v2")),
    "the asymmetric version": lambda d: d.signature(sign(d.body, d.at).replace("v1", "v1a")),
    "no version": lambda d: d.signature(sign(d.body, d.at)[3:]),
    "the last letter gone": lambda d: d.signature(sign(d.body, d.at)[:-1]),
    "another first letter": lambda d: d.signature(
        "v1," + ("A" if sign(d.body, d.at)[3] != "A" else "B") + sign(d.body, d.at)[4:]
    ),
    "url-safe letters": lambda d: d.signature("v1," + base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode()),
    "hexadecimal": lambda d: d.signature("v1," + base64.b64decode(sign(d.body, d.at)[3:]).hex()),
    "behind sixteen others": lambda d: d.signature("v1,AAAA " * 16 + sign(d.body, d.at)),
    "separated by a comma": lambda d: d.signature(f"v1,AAAA,{sign(d.body, d.at)}"),
    "another webhook's, for the same body": lambda d: d.fields(signature=sign(d.body, d.at, webhook_id="msg_earlier")),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(module_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(module_dsn) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def order_id(gateway: RunningGateway) -> str:
    return await (await gateway.device()).processing()


async def deliver(gateway: RunningGateway, body: bytes, fields: dict[str, str]) -> Reply:
    return await gateway.request("POST", WEBHOOK, raw=body, headers=fields, inside=True)


async def status_of(gateway: RunningGateway, order_id: str) -> Any:
    row = await gateway.db.row("SELECT status FROM grocery_orders WHERE order_id = $1::text::uuid", order_id)
    assert row is not None
    return row["status"]


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_forged_webhook_returns_401_and_keeps_the_order(
    gateway: RunningGateway, order_id: str, forged: Callable[[SignedWebhook], dict[str, str]]
) -> None:
    webhook = SignedWebhook(order_id)
    reply = await deliver(gateway, webhook.body, forged(webhook))
    assert (reply.status, reply.code) == (401, "invalid_signature")
    assert reply.json["detail"] == "The signature is missing, wrong or out of date."
    assert await status_of(gateway, order_id) == "PROCESSING"


@pytest.mark.parametrize("change", [b" ", b"\n", b"\0", b"{}"], ids=repr)
async def test_body_with_appended_bytes_returns_401(gateway: RunningGateway, order_id: str, change: bytes) -> None:
    webhook = SignedWebhook(order_id)
    assert (await deliver(gateway, webhook.body + change, webhook.fields())).code == "invalid_signature"
    assert await status_of(gateway, order_id) == "PROCESSING"


async def test_reformatted_body_returns_401(gateway: RunningGateway, order_id: str) -> None:
    webhook = SignedWebhook(order_id)
    same = json.dumps(json.loads(webhook.body), separators=(",", ":")).encode()
    assert same != webhook.body
    assert (await deliver(gateway, same, webhook.fields())).code == "invalid_signature"


async def test_unsigned_nonsense_returns_401_before_parsing(gateway: RunningGateway) -> None:
    for body in (b"", b"{", b"[" * 10_000, b"\xff\xfe", b"x" * 65_536):
        assert (await deliver(gateway, body, SignedWebhook("x").signature("v1,AAAA"))).code == "invalid_signature"


async def test_replayed_webhook_is_applied_once(gateway: RunningGateway) -> None:
    webhook = SignedWebhook(await (await gateway.device()).processing())
    fields = webhook.fields(id="msg_replayed", signature=sign(webhook.body, webhook.at, webhook_id="msg_replayed"))
    assert [(await deliver(gateway, webhook.body, fields)).json["applied"] for _ in range(3)] == [True, False, False]


async def test_signed_webhook_with_used_id_and_other_body_returns_409(gateway: RunningGateway) -> None:
    order = await (await gateway.device()).processing()
    webhook = SignedWebhook(order)
    assert (await deliver(gateway, webhook.body, webhook.fields())).status == 200
    other = json.dumps(webhook_body(order, "FAILED")).encode()
    reply = await deliver(gateway, other, webhook.fields(signature=sign(other, webhook.at)))
    assert (reply.status, reply.code) == (409, "webhook_differs")


@pytest.mark.parametrize("key", [KEY, SECOND], ids=["the first secret", "the second secret"])
async def test_webhook_signed_with_either_secret_is_applied(gateway: RunningGateway, key: bytes) -> None:
    webhook = SignedWebhook(await (await gateway.device()).processing())
    fields = webhook.fields(signature=sign(webhook.body, webhook.at, key=key))
    assert (await deliver(gateway, webhook.body, fields)).json["applied"]


async def test_webhook_at_the_public_listener_returns_404(gateway: RunningGateway, order_id: str) -> None:
    webhook = SignedWebhook(order_id)
    reply = await gateway.request("POST", WEBHOOK, raw=webhook.body, headers=webhook.fields())
    assert (reply.status, reply.code) == (404, "not_found")
