"""One call over HTTP, repeated until it has a definite response or its deadline passes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec import Struct, json

from autogrocery.client.backoff import Backoff, RetryLimits, parse_retry_after
from autogrocery.client.problems import BUSY, Problem, Unanswered, read_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

OK: Final = 200
ACCEPTED: Final = 202
NOT_2XX: Final = 300
UNKNOWN: Final = frozenset({502, 503, 504})  # "try again", never "nothing happened"


class Call(Struct, frozen=True):
    """One request, the same at every attempt. `repeat_accepted` repeats it after a 202, until its result is known."""

    method: str
    path: str
    body: Any = None
    key: str | None = None
    bearer: str | None = None
    params: dict[str, str] = {}
    repeat_accepted: bool = False


class Response(Struct, frozen=True):
    """A 2xx response.

    `lost` is true if an earlier attempt of the same call may have reached the gateway without its response coming back.
    """

    status: int
    body: bytes
    lost: bool


async def send(
    session: aiohttp.ClientSession,
    url: str,
    call: Call,
    retry_limits: RetryLimits,
    on_response: Callable[[int, bytes], None] | None = None,
    tls: Mapping[str, Any] | None = None,
) -> Response:
    """Return the definite response, or the last 202 if the deadline passes; call `on_response` with every 2xx received.

    `tls` holds further arguments of the request, for mutual TLS.

    Raises Problem for a refusal and Unanswered if no definite response came before the deadline. Repeating is safe:
    every call of the API is idempotent by its key, its state or its kind.
    """
    backoff = Backoff(retry_limits)
    lost = False
    last: Problem | None = None
    accepted: Response | None = None
    while True:
        after_s: float | None = None
        try:
            status, headers, body = await _attempt(session, url, call, backoff.timeout_s, tls or {})
        except (aiohttp.ClientError, TimeoutError, OSError):
            lost = True
        else:
            after_s = parse_retry_after(headers)
            if OK <= status < NOT_2XX:
                accepted = Response(status, body, lost)
                if on_response is not None:
                    on_response(status, body)
                if status != ACCEPTED or not call.repeat_accepted:
                    return accepted
            else:
                last = read_problem(status, body, headers.get("X-Request-Id"))
                lost = lost or status in UNKNOWN
                if status not in BUSY and not last.retryable:
                    last.lost = lost
                    raise last
        pause_s = backoff.pause_s(after_s)
        if pause_s is None:
            if accepted is not None:
                return accepted
            raise Unanswered(f"{call.method} {call.path}", retry_limits.deadline_s, last)
        await asyncio.sleep(pause_s)


async def _attempt(
    session: aiohttp.ClientSession, url: str, call: Call, timeout_s: float, tls: Mapping[str, Any]
) -> tuple[int, Any, bytes]:
    headers = {"Accept": "application/json"}
    if call.bearer is not None:
        headers["Authorization"] = f"Bearer {call.bearer}"
    if call.key is not None:
        headers["Idempotency-Key"] = call.key
    payload = None
    if call.body is not None:
        headers["Content-Type"] = "application/json"
        payload = json.encode(call.body)
    async with session.request(
        call.method,
        url + call.path,
        data=payload,
        params=call.params,
        headers=headers,
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        **tls,
    ) as response:
        return response.status, response.headers, await response.read()
