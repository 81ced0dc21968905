"""A raw HTTP client and a small application, for tests that check every byte."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Struct

from autogrocery.kit.errors import Conflict, Gone, InDoubt, Unavailable
from autogrocery.kit.http.app import Answer, App, Guard, Request, Route
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.security.rate_limit import RateLimit
from autogrocery.kit.security.tokens import Verifier, issue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = b"k" * 32
PATIENCE_S = 8.0


class Line(Struct, forbid_unknown_fields=True):
    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1, le=999)]


class Basket(Struct, forbid_unknown_fields=True):
    items: list[Line]
    note: str = ""


class Page(Struct, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    q: str = ""


class Echo(Struct):
    raw: str


def token(*scopes: str, user_id: int = 7, ttl_s: int = 3_600) -> str:
    return issue(
        KEY, issuer="tests", audience="here", user_id=user_id, principal="fridge-1", scopes=scopes, ttl_s=ttl_s
    )


class Stage:
    """The actions of the small application and the events they set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.entered = asyncio.Event()
        self.finished = asyncio.Event()
        self.stream_ended = asyncio.Event()

    async def basket(self, request: Request) -> Any:
        return request.body

    async def page(self, request: Request) -> Any:
        return request.query

    async def echo(self, request: Request) -> Any:
        return Echo(request.raw.decode())

    async def whoami(self, request: Request) -> Any:
        return {"user_id": request.caller.user_id, "key": request.idempotency_key, "params": request.params}

    async def hold(self, _: Request) -> Any:
        self.entered.set()
        await self.go_on.wait()
        self.finished.set()
        return {}

    async def fail(self, request: Request) -> Any:
        match request.params["how"]:
            case "bug":
                raise KeyError("inside")
            case "conflict":
                raise Conflict("taken", "It is taken.")
            case "gone":
                raise Gone("hold_expired", "Its time is over.")
            case "down":
                raise Unavailable("database_unavailable", "Gone for a moment.", retry_after_s=2.0)
            case "doubt":
                raise InDoubt("inventory", "deadline")
            case "cancelled":
                raise asyncio.CancelledError
            case _:
                return Answer(status=204)

    async def events(self, _: Request) -> Any:
        async def parts() -> AsyncIterator[bytes]:
            try:
                yield b"data: 1\n\n"
                await self.go_on.wait()
                yield b"data: 2\n\n"
            finally:
                self.stream_ended.set()

        return Answer(stream=parts(), media="text/event-stream")


def routes(stage: Stage) -> list[Route]:
    return [
        Route("POST", "/api/client/basket", stage.basket, scope="orders:write", body=Basket),
        Route("GET", "/api/client/page", stage.page, scope="orders:read", query=Page),
        Route("GET", "/api/client/orders/last", stage.whoami),
        Route("GET", "/api/client/orders/{order_id}", stage.whoami, scope="orders:read"),
        Route(
            "POST",
            "/api/client/keyed",
            stage.whoami,
            keyed=True,
            limit=RateLimit("d", rate_per_s=1, burst=2, per_principal=True),
        ),
        Route("POST", "/api/client/login", stage.basket, auth=False, body=Basket, takes_nul=True),
        Route("POST", "/open", stage.basket, auth=False, body=Basket),
        Route("GET", "/hold", stage.hold, auth=False),
        Route("GET", "/alive", stage.page, auth=False, urgent=True),
        Route("GET", "/fail/{how}", stage.fail, auth=False),
        Route("GET", "/events", stage.events, auth=False),
        Route("GET", "/api/client/events", stage.events, scope="orders:read"),
        Route("POST", "/limited", stage.echo, auth=False, limit=RateLimit("a", rate_per_s=0.5, burst=2)),
    ]


def guard(verifier: Verifier | None = None) -> Guard:
    verifier = verifier or Verifier([KEY], issuer="tests", audience="here")
    return Guard(verifier.verify, ("/api/client", "/api/truck"), frozenset({"/api/client/login"}))


class Reply(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        assert set(problem) <= {"type", "title", "status", "detail", "code", "retryable", "request_id", "errors"}
        return str(problem["code"])


class Wire:
    """One raw connection; each wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    async def reply(self, *, head_only: bool = False) -> Reply:
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            length = 0 if head_only else int(headers.get("content-length", 0))
            return Reply(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def request(
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    bearer: str | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    fields = {"host": "localhost"}
    if bearer is not None:
        fields["authorization"] = f"Bearer {bearer}"
    if body is not None:
        fields |= {"content-type": "application/json", "content-length": str(len(body))}
    fields |= headers or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")


async def until(event: asyncio.Event) -> None:
    """Wait for an event, for PATIENCE_S seconds at most."""
    async with asyncio.timeout(PATIENCE_S):
        await event.wait()


async def ask(port: int, method: str, path: str, body: bytes | None = None, **named: Any) -> Reply:
    async with wire(port) as line:
        await line.send(request(method, path, body, **named))
        return await line.reply(head_only=method == "HEAD")


@asynccontextmanager
async def served(
    stage: Stage,
    *,
    listener: dict[str, Any] | None = None,
    head_deadline_s: float = PATIENCE_S,
    verifier: Verifier | None = None,
    **bounds: Any,
) -> AsyncIterator[int]:
    """Serve the small application with limits `bounds`, on a listener with the options `listener`."""
    app = App(routes(stage), guard(verifier), **bounds)
    named = {"head_deadline_s": head_deadline_s} | (listener or {})
    async with serve_http(app, "127.0.0.1", 0, "TEST_ADDR", **named) as port:
        yield port
