"""A small server that speaks ClickHouse's HTTP interface in front of the embedded engine.

It takes a query in the parameter `query` or the body, settings as parameters, and answers in FORMAT TabSeparated unless
the query says otherwise, as a ClickHouse server does (https://clickhouse.com/docs/interfaces/http). Errors have status
500 and the header X-ClickHouse-Exception-Code. Settings of replication are accepted and have no effect.
"""

from __future__ import annotations

import base64
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.kit.errors import Unavailable
from autogrocery.lab.ports import free_ports
from tests.harness.web_site import serving_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from autogrocery.analytics.store.embedded import Embedded

USER: Final = "mart"
PASSWORD: Final = "correct horse"
MAX_BODY: Final = 64 << 20
CODE: Final = re.compile(r"Code: (\d+)")
NO_SETTINGS: Final = frozenset({"query", "database", "user", "password", "session_id", "query_id", "default_format"})


class ClickHouseServer:
    """A server on a fixed port; `serving` starts and stops its listener, the tables stay."""

    def __init__(self, engine: Embedded) -> None:
        (self.port,) = free_ports(1)
        self.engine = engine
        self.queries: list[str] = []
        self.settings: dict[str, str] = {}  # of the last request
        self.refuse_with = ""  # the body of an error that every request is answered with

    @property
    def url(self) -> str:
        return f"clickhouse://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/analytics"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/", self._answer)
        async with serving_web(app, self.port):
            yield

    async def _answer(self, request: web.Request) -> web.Response:
        if self.refuse_with:
            return _error(self.refuse_with)
        if request.headers.get("Authorization") != _basic():
            return _error("Code: 516. DB::Exception: mart: Authentication failed. (AUTHENTICATION_FAILED)", 403)
        body = await request.read()
        query = request.query.get("query")
        payload = body if query else b""
        sql = query or body.decode()
        self.queries.append(sql)
        self.settings = {name: value for name, value in request.query.items() if name not in NO_SETTINGS}
        try:
            answer = await self.engine.in_thread(lambda: self._run(sql, payload))
        except Unavailable as error:
            return _error(error.detail.split(": ", 1)[1])
        headers = {"X-ClickHouse-Server-Display-Name": "small", "X-ClickHouse-Summary": "{}"}
        return web.Response(body=answer, headers=headers)

    def _run(self, sql: str, payload: bytes) -> bytes:
        found = re.search(r"\bFORMAT\s+(\w+)\s*;?\s*$", sql)
        if payload:
            self.engine.execute(f"{sql}\n{payload.decode()}")
            return b""
        return self.engine.query_as(sql[: found.start()] if found else sql, found[1] if found else "TabSeparated")


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _error(text: str, status: int = 500) -> web.Response:
    found = CODE.search(text)
    return web.Response(status=status, text=text, headers={"X-ClickHouse-Exception-Code": found[1] if found else "1"})


@asynccontextmanager
async def clickhouse_server(directory: Path) -> AsyncIterator[ClickHouseServer]:
    """Open the engine in `directory`; nothing listens before `serving`."""
    async with open_embedded(directory) as engine:
        yield ClickHouseServer(engine)
