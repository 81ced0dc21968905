"""Operators of a running gateway: their tokens, their requests and their streams of changes."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.kit.security import tokens
from tests.harness.running_gateway import DEVICE_KEY, HASH, TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from tests.harness.running_gateway import Reply, RunningGateway

READ, WRITE = "ops:read", "ops:write"
OPS = "/internal/ops"
REASON = "a test asks for it"
UNREGISTERED_ID = 7_000_000


class Event(Struct, frozen=True):
    """One server-sent event."""

    event_id: str
    name: str
    body: dict[str, Any]


class Operator(Struct, frozen=True):
    """An operator's requests to the internal listener of a gateway."""

    gateway: RunningGateway
    token: str

    async def get(self, path: str, **named: Any) -> Reply:
        return await self.gateway.request("GET", f"{OPS}{path}", token=self.token, inside=True, **named)

    async def read(self, path: str) -> Any:
        """Return the JSON of a read that succeeds."""
        reply = await self.get(path)
        assert reply.status == 200, reply
        return reply.json

    async def send(self, method: str, path: str, *, key: str | None = None, **body: Any) -> Reply:
        """Send a write with a reason."""
        headers = {"idempotency-key": key} if key else {}
        sent = {"reason": REASON} | body
        return await self.gateway.request(method, OPS + path, sent, token=self.token, headers=headers, inside=True)

    async def act(self, order_id: str, action: str, *, key: str | None = None) -> Reply:
        """Run an action on an order."""
        return await self.send("POST", f"/orders/{order_id}/{action}", key=key)

    async def switch(self, name: str, *, on: bool, **more: Any) -> Reply:
        """Set a switch."""
        return await self.send("PUT", f"/switches/{name}", on=on, **more)

    async def log_of(self, target: str) -> list[dict[str, Any]]:
        """Return the entries of the audit log about a target, newest first."""
        reply = await self.get(f"/audit-log?target={target}")
        assert reply.status == 200, reply
        found: list[dict[str, Any]] = reply.json["data"]
        return found

    @asynccontextmanager
    async def changes(self, last_event_id: str | None = None) -> AsyncIterator[Stream]:
        """Open the stream of changes."""
        headers = {"authorization": f"Bearer {self.token}"}
        headers |= {"last-event-id": last_event_id} if last_event_id else {}
        url = f"{self.gateway.internal}{OPS}/changes"
        async with self.gateway.session.get(url, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)


class Stream:
    """An open stream of changes and the events that were read from it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.seen: list[Event] = []

    async def until_status(self, order_id: str, status: str) -> Event:
        """Read until the order reaches the status, or return the event that was read already."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for event in self.seen:
                    if event.body.get("order_id") == order_id and event.body.get("to") == status:
                        return event
                await self._read()

    async def until_named(self, name: str) -> Event:
        """Read until an event of that name comes; returns it."""
        async with asyncio.timeout(TIMEOUT_S):
            while not (found := [event for event in self.seen if event.name == name]):
                await self._read()
            return found[-1]

    async def _read(self) -> None:
        fields: dict[str, str] = {}
        while line := (await self._response.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if "data" in fields:
            self.seen.append(Event(fields.get("id", ""), fields["event"], json.loads(fields["data"])))


async def operator(gateway: RunningGateway, *scopes: str) -> Operator:
    """Add an operator to the registry, who has `scopes`, or both."""
    name = f"operator-{uuid7().hex[-12:]}"
    row = await gateway.db.row(
        "INSERT INTO smart_devices (device_id, password, kind) VALUES ($1, $2, 'operator') RETURNING id",
        name,
        HASH,
    )
    assert row is not None
    token = tokens.issue(
        DEVICE_KEY.encode(),
        issuer="autogrocery",
        audience="ops",
        user_id=row["id"],
        principal=name,
        scopes=scopes or (READ, WRITE),
        ttl_s=900,
    )
    return Operator(gateway, token)


def unregistered(gateway: RunningGateway, *scopes: str, name: str = "operator-1") -> Operator:
    """Return an operator whose token is good and who is not in the registry, with `scopes`, or both."""
    token = gateway.token(UNREGISTERED_ID, name, audience="ops", scopes=scopes or (READ, WRITE))
    return Operator(gateway, token)
