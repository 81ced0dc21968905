"""Send webhooks as inventory does, and forged ones that a gateway must refuse."""

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
from autogrocery.lab.scenarios.device import ANSWER_TIMEOUT_S, NO_ANSWER, OK, RETRYABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

PATH: Final = "/internal/webhook/update-order"
MAX_ATTEMPTS: Final = 20
PAUSE_S: Final = 0.5
LONG_AGO: Final = timedelta(minutes=10)
KEY_BYTES: Final = 32


class WebhookReply(Struct, frozen=True):
    """A gateway's (by index) answer to a webhook; `applied` and `status` are set only with 200."""

    gateway: int
    http_status: int
    code: str = ""
    applied: bool = False
    status: str = ""

    @property
    def outcome(self) -> str:
        """`200 applied`, `200 known`, HTTP status and problem code, or `no answer`."""
        if self.http_status == OK:
            return "200 applied" if self.applied else "200 known"
        return f"{self.http_status} {self.code}".rstrip() if self.http_status else "no answer"


class _Body(Struct, frozen=True):
    code: str = ""
    applied: bool = False
    status: Any = ""  # an order status with 200, the HTTP status in a problem


def update(order_id: UUID, status: Any, picked: Mapping[str, int] | None = None) -> bytes:
    """Return the body of an update-order webhook."""
    items = tuple(Picked(sku, count) for sku, count in sorted(picked.items())) if picked is not None else None
    return msgspec.json.encode(UpdateOrder(order_id, status, now(), items))


class WebhookSender:
    """Signs webhooks with the first of the network's webhook secrets, and sends them."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], secret: str) -> None:
        self._session = session
        self._urls = urls
        first = secret.split(",", maxsplit=1)[0].strip()
        self._key = base64.b64decode(first[6:]) if first.startswith("whsec_") else first.encode()

    async def deliver(self, gateway: int, webhook_id: str, body: bytes) -> WebhookReply:
        """Send a correctly signed webhook; repeat it, as inventory does, until the answer is definite."""
        return await self._post(gateway, body, _signed(self._key, webhook_id, body))

    async def deliver_everywhere(self, webhook_id: str, body: bytes, times: int = 1) -> list[WebhookReply]:
        """Send the same webhook to every gateway concurrently, `times` each."""
        gateways = [gateway for gateway in range(len(self._urls)) for _ in range(times)]
        return list(await asyncio.gather(*(self.deliver(gateway, webhook_id, body) for gateway in gateways)))

    async def forge(self, gateway: int, body: bytes, other_body: bytes, token: str) -> dict[str, WebhookReply]:
        """Send `body` with every kind of forged headers and return the answers by kind; `token` is a device's."""
        name, stranger = f"msg_{secrets.token_hex(8)}", secrets.token_bytes(KEY_BYTES)
        good = _signed(self._key, name, body)
        forged = {
            "a wrong key": _signed(stranger, name, body),
            "no signature": {key: value for key, value in good.items() if key != "webhook-signature"},
            "no headers": {},
            "another body's signature": _signed(self._key, name, other_body),
            "another id": good | {"webhook-id": f"{name}x"},
            "an old timestamp": _signed(self._key, name, body, -LONG_AGO),
            "a future timestamp": _signed(self._key, name, body, LONG_AGO),
            "a fresh timestamp on an old signature": _signed(self._key, name, body, -LONG_AGO)
            | {"webhook-timestamp": good["webhook-timestamp"]},
            "a device's token": {"authorization": f"Bearer {token}"},
            "a device's token as signature": good | {"webhook-signature": f"v1,{token}"},
        }
        return {how: await self._post(gateway, body, headers) for how, headers in forged.items()}

    async def _post(self, gateway: int, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        reply = WebhookReply(gateway, NO_ANSWER)
        for _ in range(MAX_ATTEMPTS):
            reply = await self._once(gateway, body, headers)
            if reply.http_status not in RETRYABLE:
                break
            await asyncio.sleep(PAUSE_S)
        return reply

    async def _once(self, gateway: int, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        try:
            async with self._session.post(
                self._urls[gateway] + PATH,
                data=body,
                headers={"content-type": "application/json", **headers},
                timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
                allow_redirects=False,
            ) as response:
                status, text = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return WebhookReply(gateway, NO_ANSWER)
        answer = msgspec.json.decode(text, type=_Body)
        return WebhookReply(gateway, status, answer.code, answer.applied, str(answer.status) if status == OK else "")


def _signed(key: bytes, webhook_id: str, body: bytes, shift: timedelta = timedelta()) -> dict[str, str]:
    at = now() + shift
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign(webhook_id, at, body.decode()),
    }
