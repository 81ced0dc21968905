"""One account at one gateway: its session, its badge, its notebook. What kiosks and trucks have in common."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Self, TypeVar

import aiohttp
import msgspec
from msgspec.structs import replace

from autogrocery.client.badge import CLIENT_DOORS, UNAUTHENTICATED, Badge
from autogrocery.client.memory import Memory, keep, recall
from autogrocery.client.patience import Patience
from autogrocery.client.problems import Problem
from autogrocery.client.wire import Call, ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")
Noun = TypeVar("Noun")
Heard = TypeVar("Heard")
Seen = TypeVar("Seen")
FIRST_LOOK_S: Final = 0.25
LONGEST_LOOK_S: Final = 2.0


class Account(Generic[T, Noun, Heard]):
    """One account's conversation with the gateway at `url`; opened and closed with `async with`.

    Every request is repeated within `patience` where it was not answered or was put off (429, 503, Retry-After); Problem is
    raised for a refusal, Unanswered if nothing definite was heard in time. With a `notebook` file what is in flight
    survives a power loss. `heard` is told every 2xx about an order or a delivery, as it arrives. A `session` given is used
    and left open, so that many accounts can share one pool of connections.
    """

    doors: ClassVar[str] = CLIENT_DOORS
    pages: type[Memory[T]]  # what the notebook holds
    noun: type[Noun]  # what the conversation is about
    told: Callable[[str, int, Noun], Heard]  # makes of a step, an HTTP status and what was said one thing to be heard

    def __init__(
        self,
        url: str,
        device_id: str,
        password: str,
        *,
        notebook: Path | None = None,
        patience: Patience | None = None,
        session: aiohttp.ClientSession | None = None,
        heard: Callable[[Heard], None] | None = None,
    ) -> None:
        self.device_id = device_id
        self._url = url.rstrip("/")
        self._password = password
        self._notebook = notebook
        self._patience = patience or Patience()
        self._own_session = session is None
        self._shared = session
        self._turn = asyncio.Lock()
        self._memory: Memory[T] | None = None
        self._heard = heard

    async def __aenter__(self) -> Self:
        self._memory = await recall(self._notebook, self.pages(self.device_id, uuid.uuid4().hex), self.pages)
        self._session = self._shared or aiohttp.ClientSession()
        self._badge = Badge(self._session, self._url, self.device_id, self._password, self._patience, self.doors)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_session:
            await self._session.close()

    async def login(self) -> None:
        """Prove who we are now; otherwise it happens by itself with the first call that needs it."""
        await self._badge.login()

    async def _get(self, path: str, kind: type[Seen], params: dict[str, str] | None = None) -> Seen:
        return msgspec.json.decode(await self._ask_with_badge(Call("GET", path, params=params or {})), type=kind)

    async def _ask(self, call: Call, heard: Callable[[int, bytes], None] | None = None) -> bytes:
        return (await ask(self._session, self._url, call, self._patience, heard)).body

    async def _ask_with_badge(self, call: Call, heard: Callable[[int, bytes], None] | None = None) -> bytes:
        """Ask with an access token; if it is refused, once more with a fresh one."""
        token = await self._badge.token()
        try:
            return await self._ask(replace(call, bearer=token), heard)
        except Problem as problem:
            if problem.status != UNAUTHENTICATED:
                raise
        return await self._ask(replace(call, bearer=await self._badge.token(refused=token)), heard)

    async def _about(self, step: str, call: Call) -> Noun:
        """Ask about the conversation's noun; every 2xx on the way is heard."""

        def hear(status: int, body: bytes) -> None:
            if self._heard is not None:
                self._heard(self.told(step, status, msgspec.json.decode(body, type=self.noun)))

        return msgspec.json.decode(await self._ask_with_badge(call, hear), type=self.noun)

    def _known(self) -> Memory[T]:
        if self._memory is None:
            raise RuntimeError(f"a {type(self).__name__} is used inside `async with`")
        return self._memory

    async def _note(self, memory: Memory[T]) -> None:
        await keep(self._notebook, memory)
        self._memory = memory


async def look_until(look: Callable[[], Awaitable[Seen]], ended: Callable[[Seen], bool], within_s: float) -> Seen:
    """Look, less and less often, until it has `ended`; the last look is returned after `within_s`."""
    ends_at = time.monotonic() + within_s
    pause_s = FIRST_LOOK_S
    while True:
        seen = await look()
        left_s = ends_at - time.monotonic()
        if ended(seen) or left_s <= 0:
            return seen
        await asyncio.sleep(min(left_s, pause_s * random.uniform(0.8, 1.2)))  # noqa: S311 - jitter
        pause_s = min(LONGEST_LOOK_S, pause_s * 1.5)
