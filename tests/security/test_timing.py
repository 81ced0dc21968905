"""Response times reveal nothing: the medians of two alternately timed requests differ by less than 5 %.

Noise of a busy machine may exceed that, so each pair has ATTEMPTS attempts; a real difference fails all of them.
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
from autogrocery.kit.ids import uuid7
from autogrocery.kit.security.tokens import Verifier, issue
from autogrocery.kit.security.webhooks import WebhookVerifier
from tests.harness.running_gateway import serve_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.harness.running_gateway import RunningGateway

SHARE: Final = 0.05
ATTEMPTS: Final = 15
KEY: Final = b"a-key-whose-comparison-is-timed-"
PASSWORD: Final = "correct horse battery"


def differ(one: list[int], other: list[int]) -> float:
    """Return the difference of the medians as a share of the smaller one."""
    first, second = median(one), median(other)
    return abs(first - second) / min(first, second)


def timed_ns(call: Callable[[], object]) -> int:
    began = time.perf_counter_ns()
    try:
        call()
    except Unauthenticated:
        return time.perf_counter_ns() - began
    raise AssertionError("it was accepted")


def compare(one: Callable[[], object], other: Callable[[], object], rounds: int = 1_000) -> list[float]:
    """Time two refusals alternately until the medians agree, at most ATTEMPTS times; return the differences."""
    found: list[float] = []
    while len(found) < ATTEMPTS and (not found or found[-1] >= SHARE):
        pairs = [(timed_ns(one), timed_ns(other)) for _ in range(rounds)]
        found.append(differ([first for first, _ in pairs], [second for _, second in pairs]))
    return found


def changed_at(octets: bytes, place: int) -> bytes:
    return octets[:place] + bytes([octets[place] ^ 0xFF]) + octets[place + 1 :]


def test_token_verification_time_does_not_depend_on_the_wrong_byte() -> None:
    token = issue(KEY, issuer="i", audience="a", user_id=1, principal="d", scopes=("s",), ttl_s=900)
    signed, _, tag = token.rpartition(".")
    octets = base64.urlsafe_b64decode(tag + "=")
    early, late = (
        f"{signed}.{base64.urlsafe_b64encode(changed_at(octets, place)).rstrip(b'=').decode()}" for place in (0, 31)
    )
    verifier = Verifier([KEY], issuer="i", audience="a")
    found = compare(lambda: verifier.verify(early), lambda: verifier.verify(late))
    assert found[-1] < SHARE, found


def test_webhook_verification_time_does_not_depend_on_the_wrong_byte() -> None:
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
    found = compare(lambda: verifier.verify(body, early.get), lambda: verifier.verify(body, late.get))
    assert found[-1] < SHARE, found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(module_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(module_dsn) as opened:
        yield opened


async def compare_over_http(
    one: Callable[[], Awaitable[Any]], other: Callable[[], Awaitable[Any]], rounds: int
) -> list[float]:
    """As `compare`, for two requests to a gateway; their responses must be equal too."""
    found: list[float] = []
    while len(found) < ATTEMPTS and (not found or found[-1] >= SHARE):
        times: tuple[list[int], list[int]] = ([], [])
        for _ in range(rounds):
            answers = []
            for ask, took in zip((one, other), times, strict=True):
                began = time.perf_counter_ns()
                reply = await ask()
                took.append(time.perf_counter_ns() - began)
                answers.append((reply.status, reply.code, reply.json["detail"], len(reply.body)))
            assert answers[0] == answers[1]
        found.append(differ(*times))
    return found


@pytest.mark.timeout(180)
@pytest.mark.asyncio(loop_scope="module")
async def test_login_of_unknown_device_takes_as_long_as_wrong_password(gateway: RunningGateway) -> None:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()  # at the gateway's own cost

    async def login(name: str) -> Any:
        return await gateway.request(
            "POST", "/api/client/login", {"device_id": name, "password": "wrong horse battery"}
        )

    async def wrong() -> Any:
        name = f"fridge-{uuid7()}"  # a new device each time: five failures delay the next login of a device
        await gateway.db.run("INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)", name, hashed)
        return name

    known = [await wrong() for _ in range(12 * ATTEMPTS)]
    unknown = [f"fridge-{uuid7()}" for _ in known]
    found = await compare_over_http(lambda: login(known.pop()), lambda: login(unknown.pop()), 12)
    assert found[-1] < SHARE, found


@pytest.mark.asyncio(loop_scope="module")
async def test_another_devices_order_takes_as_long_as_a_missing_one(gateway: RunningGateway) -> None:
    foreign = await (await gateway.device()).processing()
    askers = [await gateway.device() for _ in range(40)]  # each has its own rate limit

    def ask(order_id: str) -> Callable[[], Awaitable[Any]]:
        turn = iter(askers * 100)
        return lambda: next(turn).get(f"/api/client/orders/{order_id}")

    found = await compare_over_http(ask(foreign), ask(str(uuid7())), 120)
    assert found[-1] < SHARE, found
