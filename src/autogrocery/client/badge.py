"""A device's proof of who it is: logged in when needed, renewed before it runs out, replaced when it is refused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.client.nouns import Tokens
from autogrocery.client.problems import Problem
from autogrocery.client.wire import Call, ask

if TYPE_CHECKING:
    import aiohttp

    from autogrocery.client.patience import Patience

CLIENT_DOORS: Final = "/api/client"
UNAUTHENTICATED: Final = 401
RENEW_BEFORE_S: Final = 30.0  # as much as clocks may differ
RENEW_SHARE: Final = 0.1  # of short-lived tokens, so that they are used at all


class Badge:
    """Holds one account's tokens, fetched at `doors`. Any number of calls may ask for them at once; only one goes and fetches."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        device_id: str,
        password: str,
        patience: Patience,
        doors: str = CLIENT_DOORS,
    ) -> None:
        self._session = session
        self._url = url
        self._device_id = device_id
        self._password = password
        self._patience = patience
        self._doors = doors
        self._tokens: Tokens | None = None
        self._renew_at = 0.0
        self._turn = asyncio.Lock()

    async def login(self) -> None:
        """Get a new pair of tokens for the password. Raises Problem `invalid_credentials`, Unanswered."""
        async with self._turn:
            await self._login()

    async def token(self, refused: str | None = None) -> str:
        """Return an access token that should be good; never again the one that was `refused`. Raises Problem, Unanswered."""
        async with self._turn:
            if self._tokens is None:
                await self._login()
            elif self._tokens.access_token == refused or time.monotonic() >= self._renew_at:
                await self._renew(self._tokens.refresh_token)
            assert self._tokens is not None
            return self._tokens.access_token

    async def _login(self) -> None:
        body = {"device_id": self._device_id, "password": self._password}
        await self._fetch(Call("POST", f"{self._doors}/login", body))

    async def _renew(self, refresh_token: str) -> None:
        """Refresh; where the refresh token is worth nothing any more, log in again."""
        try:
            await self._fetch(Call("POST", f"{self._doors}/refresh", bearer=refresh_token))
        except Problem as problem:
            if problem.status != UNAUTHENTICATED:
                raise
            await self._login()

    async def _fetch(self, call: Call) -> None:
        asked_at = time.monotonic()
        answer = await ask(self._session, self._url, call, self._patience)
        self._tokens = msgspec.json.decode(answer.body, type=Tokens)
        life_s = self._tokens.expires_in
        self._renew_at = asked_at + life_s - min(RENEW_BEFORE_S, life_s * RENEW_SHARE)
