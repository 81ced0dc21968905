"""Every problem response has a code that docs/PROBLEMS.md lists, with a status that it lists for the code."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import hypothesis.strategies as st
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings

from autogrocery.kit.errors import InDoubt
from autogrocery.kit.http.errors import MEDIA, problem_response
from tests.harness.running_gateway import serve_gateway
from tools.gen_security import problems, route_access

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.running_gateway import Device, RunningGateway

KNOWN: Final = {one.code: set(one.statuses) for one in problems()}
PATHS: Final = sorted({row.path for row in route_access()})
METHODS: Final = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
MEMBERS: Final = {"title", "status", "detail", "code", "retryable", "request_id", "errors", "type"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("order_id", "items", "sku", "quantity", "device_id", "password")), inner, max_size=4
        )
    ),
    max_leaves=6,
)
bodies = st.none() | st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())
paths = st.sampled_from(PATHS) | st.text(max_size=12).map(lambda text: "/" + quote(text, errors="replace"))
queries = st.just("") | st.text(max_size=12).map(lambda text: "?" + quote(text, safe="=&", errors="replace"))
headers = st.dictionaries(
    st.sampled_from(("content-type", "accept", "idempotency-key", "last-event-id", "webhook-id", "content-encoding")),
    st.sampled_from(("application/json", "text/plain", "text/event-stream", "x", "", "gzip", "1")),
    max_size=3,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(module_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(module_dsn) as opened:
        yield opened


def ask(origin: str, method: str, target: str, body: bytes | None, fields: dict[str, str]) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=20)
    try:
        connection.request(method, target, body, fields)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("content-type", ""), answer.read()
    finally:
        connection.close()


def check(status: int, media: str, body: bytes) -> None:
    assert status < 500 or status == 503
    if status < 400 or not body:
        return
    problem = json.loads(body)
    assert media == MEDIA
    assert problem.keys() <= MEMBERS
    assert status in KNOWN[problem["code"]], problem
    assert problem["status"] == status
    assert problem["type"] == f"/docs#{problem['code']}"


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # the gateway's loops use it for jitter meanwhile
@pytest.mark.asyncio(loop_scope="module")
async def test_every_problem_response_has_a_listed_code_and_status(gateway: RunningGateway) -> None:
    devices: list[Device] = [await gateway.device() for _ in range(8)]
    tokens = st.none() | st.sampled_from([one.token for one in devices]) | st.just("x")

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from((gateway.public, gateway.internal)),
        st.sampled_from(METHODS),
        paths,
        queries,
        bodies,
        headers,
        tokens,
    )
    def property_holds(
        origin: str, method: str, path: str, query: str, body: bytes | None, fields: dict[str, str], token: str | None
    ) -> None:
        sent = fields | ({"authorization": f"Bearer {token}"} if token else {})
        check(*ask(origin, method, path + query, body, sent))

    await asyncio.to_thread(property_holds)


class OddError(Exception):
    """An exception that no code raises on purpose."""


@pytest.mark.parametrize(
    "error",
    [
        OddError("cAnArY"),
        KeyError("cAnArY"),
        InDoubt("inventory", "cAnArY"),
        asyncio.CancelledError(),
        RecursionError(),
    ],
)
def test_unexpected_exception_becomes_a_listed_problem_without_its_text(error: BaseException) -> None:
    problem = problem_response(error, "id-1")
    assert problem.status in KNOWN[json.loads(problem.body)["code"]]
    assert b"cAnArY" not in problem.body


def test_every_code_is_either_retryable_or_not() -> None:
    assert len(KNOWN) >= 35
    assert all(400 <= status < 600 for statuses in KNOWN.values() for status in statuses)
    retried = {code for code, statuses in KNOWN.items() if statuses & {408, 429, 503}}
    assert all(KNOWN[code] <= {408, 429, 503} for code in retried)
