"""HTTP to a provider of SMS. Loaded only where one is set: aiohttp would be a quarter of what a gateway's start takes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

AT_ONCE = 8


class Http:
    """Posts forms; redirects are not followed with a password."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, str]:
        """Return the status and Retry-After; raises OSError for no answer, whose text may hold the address."""
        try:
            async with self._session.post(url, data=form, headers=headers, allow_redirects=False) as answer:
                return answer.status, answer.headers.get("Retry-After", "")
        except aiohttp.ClientError as error:
            raise OSError(type(error).__name__) from error


@asynccontextmanager
async def open_http() -> AsyncIterator[Http]:
    """Open a client."""
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield Http(session)
