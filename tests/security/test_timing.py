"""How long an answer takes says nothing: pairs are timed in turns, and their medians differ by less than 5 %.

Noise of a busy machine is not a finding, so a pair has ATTEMPTS attempts; a real difference fails all of them.
"""

from __future__ import annotations

import base64
import hmac
import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import bcrypt
import pytest
import pytest_asyncio

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.security.tokens import Verifier, issue
from autogrocery.kit.security.webhooks import WebhookVerifier
from tests.harness.running_gateway import open_shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.harness.running_gateway import Shop

SHARE: Final = 0.05
ATTEMPTS: Final = 6
KEY: Final = b"a-key-whose-comparison-is-timed-"
PASSWORD: Final = "correct horse battery"


def differ(one: list[int], other: list[int]) -> float:
    """By what share of the smaller the medians differ."""
    first, second = median(one), median(other)
    return abs(first - second) / min(first, second)


def timed_ns(call: Callable[[], object]) -> int:
    began = time.perf_counter_ns()
    try:
        call()
    except Unauthenticated:
        return time.perf_counter_ns() - began
    raise AssertionError("it was taken")


def alike(one: Callable[[], object], other: Callable[[], object], rounds: int = 1_000) -> list[float]:
    """Time two refusals in turns until they are alike, ATTEMPTS times at most; returns by how much they differed."""
    found: list[float] = []
    while len(found) < ATTEMPTS and (not found or found[-1] >= SHARE):
        pairs = [(timed_ns(one), timed_ns(other)) for _ in range(rounds)]
        found.append(differ([first for first, _ in pairs], [second for _, second in pairs]))
    return found


def changed_at(octets: bytes, place: int) -> bytes:
    return octets[:place] + bytes([octets[place] ^ 0xFF]) + octets[place + 1 :]


def test_a_tokens_signature_wrong_early_takes_as_long_as_wrong_late() -> None:
    token = issue(KEY, issuer="i", audience="a", user_id=1, device_id="d", scopes=("s",), ttl_s=900)
    signed, _, tag = token.rpartition(".")
    octets = base64.urlsafe_b64decode(tag + "=")
    early, late = (
        f"{signed}.{base64.urlsafe_b64encode(changed_at(octets, place)).rstrip(b'=').decode()}" for place in (0, 31)
    )
    verifier = Verifier([KEY], issuer="i", audience="a")
    found = alike(lambda: verifier.verify(early), lambda: verifier.verify(late))
    assert found[-1] < SHARE, found


def test_a_webhooks_signature_wrong_early_takes_as_long_as_wrong_late() -> None:
    now, body = time.time(), b'{"order_id":"x"}'
    tag = hmac.digest(KEY, b"msg_1.%d." % now + body, "sha256")
    verifier = WebhookVerifier([KEY], clock=lambda: now)
    early, late = (
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now)),
            "webhook-signature": "v1," + base64.b64encode(changed_at(tag, place)).decode(),
        }
        for place in (0, 31)
    )
    found = alike(lambda: verifier.verify(body, early.get), lambda: verifier.verify(body, late.get))
    assert found[-1] < SHARE, found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(module_dsn: str) -> AsyncIterator[Shop]:
    async with open_shop(module_dsn) as opened:
        yield opened


async def alike_over_http(
    one: Callable[[], Awaitable[Any]], other: Callable[[], Awaitable[Any]], rounds: int
) -> list[float]:
    """As `alike`, for two questions to a gateway, whose answers have to be the same too."""
    found: list[float] = []
    while len(found) < ATTEMPTS and (not found or found[-1] >= SHARE):
        times: tuple[list[int], list[int]] = ([], [])
        for _ in range(rounds):
            told = []
            for ask, took in zip((one, other), times, strict=True):
                began = time.perf_counter_ns()
                reply = await ask()
                took.append(time.perf_counter_ns() - began)
                told.append((reply.status, reply.code, reply.json["detail"], len(reply.body)))
            assert told[0] == told[1]
        found.append(differ(*times))
    return found


@pytest.mark.timeout(180)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_unknown_device_takes_as_long_as_a_wrong_password(shop: Shop) -> None:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()  # at the gateway's own cost

    async def login(name: str) -> Any:
        return await shop.ask("POST", "/api/client/login", {"device_id": name, "password": "wrong horse battery"})

    async def wrong() -> Any:
        name = f"fridge-{uuid7()}"  # another one each time: a device is slowed down after five failures
        await shop.db.run("INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)", name, hashed)
        return name

    known = [await wrong() for _ in range(12 * ATTEMPTS)]
    unknown = [f"fridge-{uuid7()}" for _ in known]
    found = await alike_over_http(lambda: login(known.pop()), lambda: login(unknown.pop()), 12)
    assert found[-1] < SHARE, found


@pytest.mark.asyncio(loop_scope="module")
async def test_a_foreign_order_takes_as_long_as_a_missing_one(shop: Shop) -> None:
    foreign = await (await shop.device()).processing()
    askers = [await shop.device() for _ in range(40)]  # each has its own allowance of requests

    def ask(order_id: str) -> Callable[[], Awaitable[Any]]:
        turn = iter(askers * 100)
        return lambda: next(turn).get(f"/api/client/orders/{order_id}")

    found = await alike_over_http(ask(foreign), ask(str(uuid7())), 120)
    assert found[-1] < SHARE, found
