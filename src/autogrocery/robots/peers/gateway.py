"""The gateway's internal listener, where robots log in."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from autogrocery.contracts import identities
from autogrocery.kit.errors import Malformed, TooMany, Unauthenticated, Unavailable
from autogrocery.kit.process import faults
from autogrocery.kit.security.tls import tls_arguments
from autogrocery.robots.core.robot import Account, Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.security.tls import Identity

TIMEOUT_S: Final = 15.0  # a login waits in the queue for password hashing
MAX_RESPONSE_BYTES: Final = 1 << 16
DEFAULT_RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 60.0


class Gateway:
    """A connection pool to the gateway; with `identity`, over mutual TLS."""

    def __init__(self, session: aiohttp.ClientSession, url: str, identity: Identity | None = None) -> None:
        self._session = session
        self._identity = identity
        self._url = url.rstrip("/")

    async def log_in(self, account: Account) -> Tokens:
        """Return tokens for a robot; raises Unauthenticated (wrong password), TooMany, or Unavailable (try again)."""
        return await self._post("login", json={"device_id": account.robot_id, "password": account.password})

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens for a refresh token; raises as `log_in`."""
        return await self._post("refresh", headers={"Authorization": f"Bearer {refresh_token}"})

    async def _post(self, name: str, **request: Any) -> Tokens:
        async def call() -> Tokens:
            tls = tls_arguments(identities.GATEWAY, self._identity)
            url = f"{self._url}/internal/{name}"
            async with self._session.post(url, allow_redirects=False, **request, **tls) as response:
                return _read(
                    response.status,
                    response.headers.get("Retry-After", ""),
                    await response.content.read(MAX_RESPONSE_BYTES),
                )

        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await faults.through(f"gateway.{name}", call)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("gateway_unavailable", f"the gateway did not respond ({type(error).__name__})") from None


def _read(status: int, retry_after: str, body: bytes) -> Tokens:
    retry_after_s = min(float(retry_after), MAX_RETRY_S) if retry_after.isdecimal() else DEFAULT_RETRY_S
    match status:
        case 200:
            try:
                return msgspec.json.decode(body, type=Tokens)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise Unavailable("gateway_unavailable", "the gateway's response to a login can't be read") from None
        case 401 | 403:
            raise Unauthenticated("invalid_credentials", "the gateway did not accept the robot's credentials")
        case 429:
            raise TooMany("too_many_requests", "the gateway limits the rate of logins", retry_after_s=retry_after_s)
        case _ if 400 <= status < 500:  # noqa: PLR2004 - the 4xx
            raise Malformed("login_refused", f"the gateway refused the login with status {status}", status=status)
        case _:
            raise Unavailable(
                "gateway_unavailable", f"the gateway responded with status {status}", retry_after_s=retry_after_s
            )


@asynccontextmanager
async def open_gateway(url: str, identity: Identity | None = None) -> AsyncIterator[Gateway]:
    """Open a connection pool to the gateway's internal listener. Redirects would leak passwords: none is followed."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=aiohttp.TCPConnector(limit=32)
    ) as session:
        yield Gateway(session, url, identity)
