"""Devices that order while the database fails over: each asks again as a device would, and keeps what it was told."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import aiohttp
from msgspec import Struct, field

from tests.harness.running_gateway import Device, Reply, Shop, picked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PERSISTENCE_S = 60.0
PAUSE_S = (0.02, 0.1)
NOT_FOUND = 404
ASK_AGAIN = {202, 429, 503}
# What a row may be once its device was told a status.
KEEPS = {
    "PREVIEWED": {"PREVIEWED", "PROCESSING", "COMPLETED", "CANCELLED", "EXPIRED"},
    "PROCESSING": {"PROCESSING", "COMPLETED"},
    "COMPLETED": {"COMPLETED"},
    "CANCELLED": {"CANCELLED"},
}


class Told(Struct, frozen=True):
    """A 2xx: the order and the status in it, when the call was made and when it was answered."""

    order_id: str
    status: str
    asked_at: float
    at: float


class Journal(Struct):
    """All that devices were told, and how often they had to ask again."""

    told: list[Told] = field(default_factory=list)
    asked_again: int = 0
    forgotten: int = 0  # a 404 for an order that there was

    def born_and_sent_since(self, at: float) -> set[str]:
        """Return the orders that were quoted and given to robots by calls made after `at`."""
        since = [one for one in self.told if one.asked_at > at]
        quoted, sent = (
            {one.order_id for one in since if one.status == status} for status in ("PREVIEWED", "PROCESSING")
        )
        return quoted & sent

    def last_words(self) -> dict[str, str]:
        """Return the last status told of each order."""
        return {one.order_id: one.status for one in self.told}

    def recovery_s(self, killed_at: float) -> float:
        """Seconds from the kill to the first answer to a call made after it."""
        return min(one.at for one in self.told if one.asked_at > killed_at) - killed_at


class Crowd(Struct):
    """Devices at one gateway, until `closing` is set."""

    shop: Shop
    journal: Journal
    closing: asyncio.Event
    cancels: bool

    async def order_on(self, device: Device, seed: int) -> None:
        """Order again and again, each to where chance takes it: a quote, a confirm, the robots' work, a change of mind."""
        chance = random.Random(seed)
        number = 0
        while not self.closing.is_set():
            number += 1
            await self._one(device, chance, f"{seed}-{number}")

    async def _one(self, device: Device, chance: random.Random, key: str) -> None:
        basket = {sku: chance.randint(1, 3) for sku in chance.sample(["milk", "bread", "apple"], 2)}
        order_id = await self._ask(chance, lambda: device.preview(key=key, **basket), 201)
        if order_id is None or chance.random() < 0.1:
            return
        if self.cancels and chance.random() < 0.2:
            await self._ask(chance, lambda: device.cancel(order_id))
            return
        if await self._ask(chance, lambda: device.confirm(order_id)) is None or chance.random() < 0.3:
            return
        self.shop.shelf.finish(order_id)
        body = picked(order_id)
        await self._ask(chance, lambda: self.shop.deliver(body, webhook_id=f"msg_{order_id}"), webhook_of=order_id)

    async def _ask(
        self, chance: random.Random, call: Callable[[], Awaitable[Reply]], status: int = 200, *, webhook_of: str = ""
    ) -> str | None:
        """Make a call until it is answered for good, and write down what it said; None: there is no such order any more."""
        asked_at = time.monotonic()
        async with asyncio.timeout(PERSISTENCE_S):
            while True:
                try:
                    reply = await call()
                except aiohttp.ClientError:
                    reply = None
                if reply is not None and reply.status not in ASK_AGAIN:
                    break
                self.journal.asked_again += 1
                await asyncio.sleep(chance.uniform(*PAUSE_S))
                asked_at = time.monotonic()
        if reply.status == NOT_FOUND:
            self.journal.forgotten += 1
            return None
        assert reply.status == status, reply
        order_id = webhook_of or reply.json["order_id"]
        self.journal.told.append(Told(order_id, reply.json["status"], asked_at, time.monotonic()))
        return order_id
