"""Load of a failover run: devices that order, retry as real devices do, and record every acknowledgement."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import aiohttp
from msgspec import Struct, field

from tests.harness.running_gateway import Device, Reply, RunningGateway, webhook_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RETRY_S = 60.0
PAUSE_S = (0.02, 0.1)
NOT_FOUND = 404
RETRIED = {202, 429, 503}
# The statuses that a row may have after a status was acknowledged.
LATER_STATUSES = {
    "PREVIEWED": {"PREVIEWED", "PROCESSING", "COMPLETED", "CANCELLED", "EXPIRED"},
    "PROCESSING": {"PROCESSING", "COMPLETED"},
    "COMPLETED": {"COMPLETED"},
    "CANCELLED": {"CANCELLED"},
}


class Acknowledgement(Struct, frozen=True):
    """A 2xx response: its order and status, and when the call was made and answered (monotonic seconds)."""

    order_id: str
    status: str
    asked_at: float
    at: float


class Record(Struct):
    """Every acknowledgement, and how many retries and 404s there were."""

    acknowledged: list[Acknowledgement] = field(default_factory=list)
    retries: int = 0
    not_found: int = 0  # 404s for an order that was acknowledged before

    def dispatched_since(self, at: float) -> set[str]:
        """Return the orders that were both created and dispatched by calls made after `at`."""
        since = [one for one in self.acknowledged if one.asked_at > at]
        quoted, sent = (
            {one.order_id for one in since if one.status == status} for status in ("PREVIEWED", "PROCESSING")
        )
        return quoted & sent

    def last_statuses(self) -> dict[str, str]:
        """Return the last acknowledged status of each order."""
        return {one.order_id: one.status for one in self.acknowledged}

    def recovery_s(self, killed_at: float) -> float:
        """Return the seconds from the kill to the first acknowledgement of a call made after it."""
        return min(one.at for one in self.acknowledged if one.asked_at > killed_at) - killed_at


class Load(Struct):
    """Devices that use one gateway until `stopping` is set."""

    gateway: RunningGateway
    record: Record
    stopping: asyncio.Event
    with_cancels: bool

    async def order_repeatedly(self, device: Device, seed: int) -> None:
        """Place orders until stopped; each ends at random as a quote, cancelled, confirmed or completed."""
        rng = random.Random(seed)
        number = 0
        while not self.stopping.is_set():
            number += 1
            await self._one(device, rng, f"{seed}-{number}")

    async def _one(self, device: Device, rng: random.Random, key: str) -> None:
        basket = {sku: rng.randint(1, 3) for sku in rng.sample(["milk", "bread", "apple"], 2)}
        order_id = await self._retry(rng, lambda: device.preview(key=key, **basket), 201)
        if order_id is None or rng.random() < 0.1:
            return
        if self.with_cancels and rng.random() < 0.2:
            await self._retry(rng, lambda: device.cancel(order_id))
            return
        if await self._retry(rng, lambda: device.confirm(order_id)) is None or rng.random() < 0.3:
            return
        self.gateway.fake_inventory.finish(order_id)
        body = webhook_body(order_id)
        await self._retry(
            rng, lambda: self.gateway.send_webhook(body, webhook_id=f"msg_{order_id}"), webhook_of=order_id
        )

    async def _retry(
        self, rng: random.Random, call: Callable[[], Awaitable[Reply]], status: int = 200, *, webhook_of: str = ""
    ) -> str | None:
        """Repeat a call until its status is final and record it; returns the order id, or None after a 404."""
        asked_at = time.monotonic()
        async with asyncio.timeout(RETRY_S):
            while True:
                try:
                    reply = await call()
                except aiohttp.ClientError:
                    reply = None
                if reply is not None and reply.status not in RETRIED:
                    break
                self.record.retries += 1
                await asyncio.sleep(rng.uniform(*PAUSE_S))
                asked_at = time.monotonic()
        if reply.status == NOT_FOUND:
            self.record.not_found += 1
            return None
        assert reply.status == status, reply
        order_id = webhook_of or reply.json["order_id"]
        self.record.acknowledged.append(Acknowledgement(order_id, reply.json["status"], asked_at, time.monotonic()))
        return order_id
