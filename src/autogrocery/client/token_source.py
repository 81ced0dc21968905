"""An account's access token: fetched by login when needed, refreshed before it expires, replaced when it is refused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.client.models import Tokens
from autogrocery.client.problems import Problem
from autogrocery.client.transport import Call, send

if TYPE_CHECKING:
    import aiohttp

    from autogrocery.client.backoff import RetryLimits

CLIENT_PREFIX: Final = "/api/client"
UNAUTHENTICATED: Final = 401
RENEW_BEFORE_S: Final = 30.0  # the clock skew that is tolerated
RENEW_SHARE: Final = 0.1  # of the lifetime, where that is shorter: else a short-lived token is never used


class TokenSource:
    """Holds one account's tokens, fetched from `prefix`/login and `prefix`/refresh.

    Any number of concurrent callers share one fetch.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        device_id: str,
        password: str,
        retry_limits: RetryLimits,
        prefix: str = CLIENT_PREFIX,
    ) -> None:
        self._session = session
        self._url = url
        self._device_id = device_id
        self._password = password
        self._retry_limits = retry_limits
        self._prefix = prefix
        self._tokens: Tokens | None = None
        self._renew_at = 0.0
        self._fetch_lock = asyncio.Lock()

    async def login(self) -> None:
        """Get a new pair of tokens for the password. Raises Problem `invalid_credentials`, Unanswered."""
        async with self._fetch_lock:
            await self._login()

    async def token(self, refused: str | None = None) -> str:
        """Return an access token expected to be valid, never the one that was `refused`. Raises Problem, Unanswered."""
        async with self._fetch_lock:
            if self._tokens is None:
                await self._login()
            elif self._tokens.access_token == refused or time.monotonic() >= self._renew_at:
                await self._renew(self._tokens.refresh_token)
            assert self._tokens is not None
            return self._tokens.access_token

    async def _login(self) -> None:
        body = {"device_id": self._device_id, "password": self._password}
        await self._fetch(Call("POST", f"{self._prefix}/login", body))

    async def _renew(self, refresh_token: str) -> None:
        """Refresh; log in again if the refresh token is no longer accepted."""
        try:
            await self._fetch(Call("POST", f"{self._prefix}/refresh", bearer=refresh_token))
        except Problem as problem:
            if problem.status != UNAUTHENTICATED:
                raise
            await self._login()

    async def _fetch(self, call: Call) -> None:
        sent_at = time.monotonic()
        response = await send(self._session, self._url, call, self._retry_limits)
        self._tokens = msgspec.json.decode(response.body, type=Tokens)
        lifetime_s = self._tokens.expires_in
        self._renew_at = sent_at + lifetime_s - min(RENEW_BEFORE_S, lifetime_s * RENEW_SHARE)
