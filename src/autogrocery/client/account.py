"""What kiosks and trucks have in common: one account at one gateway, its connections, its tokens and its state file."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Self, TypeVar

import aiohttp
import msgspec
from msgspec.structs import replace

from autogrocery.client.backoff import RetryLimits
from autogrocery.client.pending_calls import PendingCalls, load, save
from autogrocery.client.problems import Problem
from autogrocery.client.token_source import CLIENT_PREFIX, UNAUTHENTICATED, TokenSource
from autogrocery.client.transport import Call, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")
Model = TypeVar("Model")
Received = TypeVar("Received")
Read = TypeVar("Read")
FIRST_POLL_S: Final = 0.25
LONGEST_POLL_S: Final = 2.0


class Account(Generic[T, Model, Received]):
    """A client of the gateway at `url` for one account; opened and closed with `async with`.

    A request is repeated within `retry_limits` if its response was lost or says to try again (429, 502, 503, 504, with
    or without Retry-After). A refusal raises Problem; Unanswered is raised if no definite response came in time. With a
    `state_file`, an order or delivery in flight survives a power loss. `on_response` is called with every 2xx about an
    order or a delivery, as it arrives. A `session` that is passed in is used and left open, so that accounts can share
    one connection pool.
    """

    login_prefix: ClassVar[str] = CLIENT_PREFIX
    state_type: type[PendingCalls[T]]  # the content of the state file
    model: type[Model]  # the body of a 2xx
    response_type: Callable[[str, int, Model], Received]  # made of step, HTTP status and body, for `on_response`

    def __init__(
        self,
        url: str,
        device_id: str,
        password: str,
        *,
        state_file: Path | None = None,
        retry_limits: RetryLimits | None = None,
        session: aiohttp.ClientSession | None = None,
        on_response: Callable[[Received], None] | None = None,
    ) -> None:
        self.device_id = device_id
        self._url = url.rstrip("/")
        self._password = password
        self._state_file = state_file
        self._retry_limits = retry_limits or RetryLimits()
        self._own_session = session is None
        self._shared_session = session
        self._lock = asyncio.Lock()  # one order or delivery at a time
        self._pending: PendingCalls[T] | None = None
        self._on_response = on_response

    async def __aenter__(self) -> Self:
        fresh = self.state_type(self.device_id, uuid.uuid4().hex)
        self._pending = await load(self._state_file, fresh, self.state_type)
        self._session = self._shared_session or aiohttp.ClientSession()
        self._tokens = TokenSource(
            self._session, self._url, self.device_id, self._password, self._retry_limits, self.login_prefix
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_session:
            await self._session.close()

    async def login(self) -> None:
        """Log in now; otherwise the first call that needs a token does it."""
        await self._tokens.login()

    async def _get(self, path: str, kind: type[Read], params: dict[str, str] | None = None) -> Read:
        return msgspec.json.decode(await self._send_authorized(Call("GET", path, params=params or {})), type=kind)

    async def _send(self, call: Call, on_response: Callable[[int, bytes], None] | None = None) -> bytes:
        return (await send(self._session, self._url, call, self._retry_limits, on_response)).body

    async def _send_authorized(self, call: Call, on_response: Callable[[int, bytes], None] | None = None) -> bytes:
        """Send with an access token; if it is refused, send once more with a new one."""
        token = await self._tokens.token()
        try:
            return await self._send(replace(call, bearer=token), on_response)
        except Problem as problem:
            if problem.status != UNAUTHENTICATED:
                raise
        return await self._send(replace(call, bearer=await self._tokens.token(refused=token)), on_response)

    async def _send_step(self, step: str, call: Call) -> Model:
        """Send a call about an order or a delivery and return its body; every 2xx is passed to `on_response`."""

        def received(status: int, body: bytes) -> None:
            if self._on_response is not None:
                self._on_response(self.response_type(step, status, msgspec.json.decode(body, type=self.model)))

        return msgspec.json.decode(await self._send_authorized(call, received), type=self.model)

    def _state(self) -> PendingCalls[T]:
        if self._pending is None:
            raise RuntimeError(f"a {type(self).__name__} works only inside `async with`")
        return self._pending

    async def _save(self, pending: PendingCalls[T]) -> None:
        await save(self._state_file, pending)
        self._pending = pending


async def poll_until(read: Callable[[], Awaitable[Read]], ended: Callable[[Read], bool], within_s: float) -> Read:
    """Call `read` at growing intervals until its result has `ended`; return the last result after `within_s`."""
    ends_at = time.monotonic() + within_s
    pause_s = FIRST_POLL_S
    while True:
        found = await read()
        left_s = ends_at - time.monotonic()
        if ended(found) or left_s <= 0:
            return found
        await asyncio.sleep(min(left_s, pause_s * random.uniform(0.8, 1.2)))  # noqa: S311 - jitter
        pause_s = min(LONGEST_POLL_S, pause_s * 1.5)
