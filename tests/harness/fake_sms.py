"""A provider of SMS on loopback: it takes the form of Twilio's Messages resource."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/2010-04-01/Accounts/AC1/Messages.json"


class Message(Struct, frozen=True):
    """One request that was answered with a success, as it came."""

    key: str
    to: str
    sender: str
    body: str
    authorization: str


class Provider:
    """Takes alerts; answers `status` (with `headers`) instead, before or `after_taking` them; `silent` never answers."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.asked = 0
        self.status = 201
        self.headers: dict[str, str] = {}
        self.after_taking = False
        self.silent = False
        self.url = ""

    @property
    def keys(self) -> set[str]:
        """What was said, however often."""
        return {message.key for message in self.taken}

    async def take(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked += 1
        message = Message(
            request.headers["Idempotency-Key"],
            str(form["To"]),
            str(form["From"]),
            str(form["Body"]),
            request.headers.get("Authorization", ""),
        )
        if self.status == 201 or self.after_taking:
            self.taken.append(message)
        if self.silent:
            await asyncio.Event().wait()
        return web.json_response({"sid": "SM1"}, status=self.status, headers=self.headers)


@asynccontextmanager
async def serve_sms() -> AsyncIterator[Provider]:
    """Serve one on a free port; its `url` is what SMS_URL would be."""
    provider = Provider()
    app = web.Application()
    app.router.add_post(PATH, provider.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    provider.url = f"http://AC1:to%2Fken@127.0.0.1:{port}{PATH}?from=+15550100"
    try:
        yield provider
    finally:
        await runner.cleanup()
