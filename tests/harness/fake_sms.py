"""A fake SMS provider on loopback, with the request and the reply of Twilio's Messages resource."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct

from tests.harness.web_site import serving_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/2010-04-01/Accounts/AC1/Messages.json"


class Message(Struct, frozen=True):
    """One accepted request, as it was received."""

    key: str
    to: str
    sender: str
    body: str
    authorization: str


class SmsProvider:
    """Accepts alerts. A `status` other than 201 (with `headers`) is answered instead, or after accepting if
    `after_effect`; while `silent`, no request is answered."""

    def __init__(self) -> None:
        self.accepted: list[Message] = []
        self.requests = 0
        self.status = 201
        self.headers: dict[str, str] = {}
        self.after_effect = False
        self.silent = False
        self.url = ""

    @property
    def keys(self) -> set[str]:
        """The distinct idempotency keys of the accepted messages."""
        return {message.key for message in self.accepted}

    async def take(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.requests += 1
        message = Message(
            request.headers["Idempotency-Key"],
            str(form["To"]),
            str(form["From"]),
            str(form["Body"]),
            request.headers.get("Authorization", ""),
        )
        if self.status == 201 or self.after_effect:
            self.accepted.append(message)
        if self.silent:
            await asyncio.Event().wait()
        return web.json_response({"sid": "SM1"}, status=self.status, headers=self.headers)


@asynccontextmanager
async def serve_sms() -> AsyncIterator[SmsProvider]:
    """Serve a provider on a free port; its `url` is a value for SMS_URL."""
    provider = SmsProvider()
    app = web.Application()
    app.router.add_post(PATH, provider.take)
    async with serving_web(app, shutdown_s=0.1) as port:
        provider.url = f"http://AC1:to%2Fken@127.0.0.1:{port}{PATH}?from=+15550100"
        yield provider
