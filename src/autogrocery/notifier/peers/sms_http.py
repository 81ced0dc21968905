"""The HTTP client of an SMS provider. Imported only if one is set: aiohttp takes long to load."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

MAX_CONNECTIONS = 8


class FormResponse(Struct, frozen=True):
    """The status of a response, and its Retry-After header, empty if absent."""

    status: int
    retry_after: str


class FormClient:
    """Posts forms. Redirects are not followed, because the request carries a password."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> FormResponse:
        """Post the form; raises OSError if there is no response. Its text may contain the URL."""
        try:
            async with self._session.post(url, data=form, headers=headers, allow_redirects=False) as response:
                return FormResponse(response.status, response.headers.get("Retry-After", ""))
        except aiohttp.ClientError as error:
            raise OSError(type(error).__name__) from error


@asynccontextmanager
async def open_http() -> AsyncIterator[FormClient]:
    """Open a client with at most MAX_CONNECTIONS connections."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield FormClient(session)
