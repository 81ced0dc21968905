"""Webhooks as inventory sends them, and as somebody who is not inventory would."""

from __future__ import annotations

import asyncio
import base64
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct
from standardwebhooks import Webhook

from autogrocery.contracts.webhook import Picked, UpdateOrder
from autogrocery.kit.process.clock import now
from autogrocery.lab.scenarios.doors import ANSWER_WITHIN_S, ASK_AGAIN, NOTHING, OK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

PATH: Final = "/internal/webhook/update-order"
ASK_TIMES: Final = 20
PAUSE_S: Final = 0.5
LONG_AGO: Final = timedelta(minutes=10)
KEY_BYTES: Final = 32


class Reply(Struct, frozen=True):
    """What a gateway (by index) said to a delivery; `applied` and `status` only with 200."""

    gateway: int
    http_status: int
    code: str = ""
    applied: bool = False
    status: str = ""

    @property
    def word(self) -> str:
        """`200 applied`, `200 known`, or the status with the problem's code."""
        if self.http_status == OK:
            return "200 applied" if self.applied else "200 known"
        return f"{self.http_status} {self.code}".rstrip() if self.http_status else "no answer"


class _Told(Struct, frozen=True):
    code: str = ""
    applied: bool = False
    status: Any = ""  # a word with 200, a number in a problem


def update(order_id: UUID, status: Any, picked: Mapping[str, int] | None = None) -> bytes:
    """Return the body of an update-order webhook."""
    items = tuple(Picked(sku, count) for sku, count in sorted(picked.items())) if picked is not None else None
    return msgspec.json.encode(UpdateOrder(order_id, status, now(), items))


class Sender:
    """Signs and delivers; the first of the network's webhook secrets signs."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], secret: str) -> None:
        self._session = session
        self._urls = urls
        first = secret.split(",", maxsplit=1)[0].strip()
        self._key = base64.b64decode(first[6:]) if first.startswith("whsec_") else first.encode()

    async def deliver(self, gateway: int, webhook_id: str, body: bytes) -> Reply:
        """Deliver a true webhook; asked again while it is put off, as inventory does."""
        return await self._post(gateway, body, _signed(self._key, webhook_id, body))

    async def deliver_everywhere(self, webhook_id: str, body: bytes, times: int = 1) -> list[Reply]:
        """Deliver the same webhook to every gateway at once, `times` each."""
        gateways = [gateway for gateway in range(len(self._urls)) for _ in range(times)]
        return list(await asyncio.gather(*(self.deliver(gateway, webhook_id, body) for gateway in gateways)))

    async def forge(self, gateway: int, body: bytes, other_body: bytes, token: str) -> dict[str, Reply]:
        """Deliver `body` in every way that must be refused; `token` is a device's access token."""
        name, stranger = f"msg_{secrets.token_hex(8)}", secrets.token_bytes(KEY_BYTES)
        good = _signed(self._key, name, body)
        forged = {
            "a wrong key": _signed(stranger, name, body),
            "no signature": {key: value for key, value in good.items() if key != "webhook-signature"},
            "no headers": {},
            "another body's signature": _signed(self._key, name, other_body),
            "another id": good | {"webhook-id": f"{name}x"},
            "an old timestamp": _signed(self._key, name, body, -LONG_AGO),
            "a timestamp to come": _signed(self._key, name, body, LONG_AGO),
            "a fresh timestamp on an old signature": _signed(self._key, name, body, -LONG_AGO)
            | {"webhook-timestamp": good["webhook-timestamp"]},
            "a device's token": {"authorization": f"Bearer {token}"},
            "a device's token as signature": good | {"webhook-signature": f"v1,{token}"},
        }
        return {how: await self._post(gateway, body, headers) for how, headers in forged.items()}

    async def _post(self, gateway: int, body: bytes, headers: Mapping[str, str]) -> Reply:
        reply = Reply(gateway, NOTHING)
        for _ in range(ASK_TIMES):
            reply = await self._once(gateway, body, headers)
            if reply.http_status not in ASK_AGAIN:
                break
            await asyncio.sleep(PAUSE_S)
        return reply

    async def _once(self, gateway: int, body: bytes, headers: Mapping[str, str]) -> Reply:
        try:
            async with self._session.post(
                self._urls[gateway] + PATH,
                data=body,
                headers={"content-type": "application/json", **headers},
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
                allow_redirects=False,
            ) as response:
                status, text = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Reply(gateway, NOTHING)
        told = msgspec.json.decode(text, type=_Told)
        return Reply(gateway, status, told.code, told.applied, str(told.status) if status == OK else "")


def _signed(key: bytes, webhook_id: str, body: bytes, shift: timedelta = timedelta()) -> dict[str, str]:
    at = now() + shift
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign(webhook_id, at, body.decode()),
    }
