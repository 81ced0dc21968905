"""One call over HTTP, asked again until it has a definite answer or the caller's patience ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec import Struct, json

from autogrocery.client.patience import Deadline, Patience, asked_pause_s
from autogrocery.client.problems import BUSY, Problem, Unanswered, read_problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OK: Final = 200
ACCEPTED: Final = 202
NOT_2XX: Final = 300
UNKNOWN: Final = frozenset({502, 503, 504})  # "ask again", never "nothing happened"


class Call(Struct, frozen=True):
    """One request, the same at every attempt. `settles` asks again after a 202, until it is known how the order stands."""

    method: str
    path: str
    body: Any = None
    key: str | None = None
    bearer: str | None = None
    params: dict[str, str] = {}
    settles: bool = False


class Answer(Struct, frozen=True):
    """A 2xx. `lost` is true if an earlier attempt of the same call may have reached the gateway without being answered."""

    status: int
    body: bytes
    lost: bool


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    call: Call,
    patience: Patience,
    heard: Callable[[int, bytes], None] | None = None,
) -> Answer:
    """Return the definite answer, or the last 202 when patience ends; `heard` is told every 2xx on the way.

    Raises Problem for a refusal and Unanswered when nothing definite was heard in time. Repeating is safe: every call
    of the API is idempotent by its key, its state or its kind.
    """
    deadline = Deadline(patience)
    lost = False
    last: Problem | None = None
    accepted: Answer | None = None
    while True:
        asked_s: float | None = None
        try:
            status, headers, body = await _attempt(session, url, call, deadline.attempt_s)
        except (aiohttp.ClientError, TimeoutError, OSError):
            lost = True
        else:
            asked_s = asked_pause_s(headers)
            if OK <= status < NOT_2XX:
                accepted = Answer(status, body, lost)
                if heard is not None:
                    heard(status, body)
                if status != ACCEPTED or not call.settles:
                    return accepted
            else:
                last = read_problem(status, body, headers.get("X-Request-Id"))
                lost = lost or status in UNKNOWN
                if status not in BUSY and not last.retryable:
                    last.lost = lost
                    raise last
        pause_s = deadline.pause_s(asked_s)
        if pause_s is None:
            if accepted is not None:
                return accepted
            raise Unanswered(f"{call.method} {call.path}", patience.overall_s, last)
        await asyncio.sleep(pause_s)


async def _attempt(session: aiohttp.ClientSession, url: str, call: Call, attempt_s: float) -> tuple[int, Any, bytes]:
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
        timeout=aiohttp.ClientTimeout(total=attempt_s),
    ) as response:
        return response.status, response.headers, await response.read()
