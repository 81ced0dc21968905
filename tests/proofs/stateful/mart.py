"""The mart around the machine: an event loop in a thread with peers and clients, gateways beside it, plain calls in front."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from autogrocery.gateway.store import orders
from autogrocery.kit.pg.db import Db, open_db
from tests.harness.fake_peers import PRICES
from tests.harness.gateway_actions import House, open_house
from tests.harness.order_truth import State, quarrels, strayed
from tests.harness.running_gateway import Device, Reply, Shop
from tests.proofs.battery.stage import calm, turn
from tests.proofs.stateful.gateways import Gateways

if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path
    from uuid import UUID

T = TypeVar("T")
CALL_S = 60.0
ANSWER_S = 15.0
QUIET_S = 30.0
SLOW_DOWN_S = 0.06  # a device has a token every 50 ms


class PatientDevice(Device):
    """A device that is asked to slow down does so, and asks again."""

    async def get(self, path: str, **named: Any) -> Reply:
        return await _patiently(lambda: Device.get(self, path, **named))

    async def post(self, path: str, body: Any = None, **named: Any) -> Reply:
        return await _patiently(lambda: Device.post(self, path, body, **named))


async def _patiently(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    while (reply := await ask()).status == 429:  # noqa: ASYNC110 - what is awaited is in another process
        await asyncio.sleep(SLOW_DOWN_S)
    return reply


class Mart:
    """All that outlives an example. Every method may be called from the machine's thread."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mart")
        self._thread.start()
        self._stack = AsyncExitStack()
        self.house: House = self.call(self._open(dsn))
        self.shelf = self.house.shelf
        self.gateways = Gateways(dsn, self.house.target, folder)
        self.shop = self.call(self._shop(self.house.db))
        self._point()

    def call(self, verb: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the mart's loop."""
        return asyncio.run_coroutine_threadsafe(verb, self._loop).result(CALL_S)

    def see(self, look: Callable[[], T]) -> T:
        """Run a function in the mart's loop, where nothing changes meanwhile."""

        async def looking() -> T:
            return look()

        return self.call(looking())

    async def _open(self, dsn: str) -> House:
        db = await self._stack.enter_async_context(open_db(dsn, application="tests"))
        return await self._stack.enter_async_context(open_house(db))

    async def _shop(self, db: Db) -> Shop:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        session = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        return Shop("", "", db, self.shelf, self.house.prices, session)

    def _point(self) -> None:
        serving = self.gateways.serving
        self.shop.public = f"http://127.0.0.1:{serving.public}"
        self.shop.internal = f"http://127.0.0.1:{serving.internal}"

    def replace_gateway(self, number: signal.Signals) -> None:
        """The serving gateway ends; what was sent to it and not answered is lost."""
        self.gateways.replace(number)
        self._point()

    def ask(self, *requests: Coroutine[Any, Any, Reply]) -> list[Reply | None]:
        """Send requests together; None where no answer came back, which says nothing about what happened."""

        return self.call(self._settled(requests))

    def ask_while(self, number: signal.Signals, *requests: Coroutine[Any, Any, Reply]) -> list[Reply | None]:
        """Send requests, and end the gateway while they are under way."""
        sent = asyncio.run_coroutine_threadsafe(self._settled(requests), self._loop)
        self.gateways.replace(number)
        answers = sent.result(CALL_S)
        self._point()
        return answers

    async def _settled(self, requests: tuple[Coroutine[Any, Any, Reply], ...]) -> list[Reply | None]:
        answers = await asyncio.gather(*requests, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, aiohttp.ClientError):
                raise answer
        return [None if isinstance(answer, BaseException) else answer for answer in answers]

    def devices(self, count: int) -> list[Device]:
        made = [self.call(self.shop.device()) for _ in range(count)]
        return [PatientDevice(self.shop, one.user_id, one.device_id, one.token) for one in made]

    def fill(self, **stock: int) -> dict[str, int]:
        """Set the shelf; returns the units by SKU that there are with those in living orders."""

        def fill() -> dict[str, int]:
            calm(self.house)
            self.shelf.stock.update({sku: stock[sku] - self.shelf.stock[sku] for sku in PRICES})
            living = [self.shelf.items[oid] for oid, state in self.shelf.state.items() if state != State.RELEASED]
            return {sku: stock[sku] + sum(items.get(sku, 0) for items in living) for sku in PRICES}

        return self.see(fill)

    def strayed(self, filled: dict[str, int]) -> dict[str, int]:
        return self.see(lambda: strayed(self.shelf, filled))

    def time_passes(self, *order_ids: UUID) -> None:
        """For these orders it is later: quotes are over, and what waits for its time is due."""
        self.call(
            self.house.db.run(
                "UPDATE grocery_orders SET due_at = now(), expires_at = CASE WHEN status = 'PREVIEWED' THEN least(expires_at, now()) ELSE expires_at END"
                " WHERE order_id = ANY ($1) AND finished_at IS NULL",
                list(order_ids),
            )
        )

    def heal(self, order_ids: list[UUID]) -> dict[str, list[str]]:
        """Let all be well and time pass until nothing is owed; returns what still quarrels with inventory."""
        return self.call(self._heal(order_ids))

    async def _heal(self, order_ids: list[UUID]) -> dict[str, list[str]]:
        calm(self.house)
        async with asyncio.timeout(QUIET_S):
            while await self._living(order_ids):
                await self.house.db.run(
                    "UPDATE grocery_orders SET due_at = now(), expires_at = least(expires_at, now())"
                    " WHERE order_id = ANY ($1) AND finished_at IS NULL AND (status = 'PREVIEWED' OR intent IS NOT NULL)",
                    order_ids,
                )
                await turn(self.house)
        found = {}
        for order_id in order_ids:
            order = await orders.get(self.house.db, order_id)
            if order and (quarrel := quarrels(order, self.shelf)):
                found[str(order_id)] = quarrel
        return found

    async def _living(self, order_ids: list[UUID]) -> bool:
        """Whether a loop has something to do about one of these."""
        rows = await self.house.db.rows(
            "SELECT order_id FROM grocery_orders WHERE order_id = ANY ($1) AND (status = 'PREVIEWED' OR intent IS NOT NULL)",
            order_ids,
        )
        done = {State.COMPLETED, State.FAILED}
        silent = [one for one in order_ids if self.shelf.state.get(str(one)) in done]
        waiting = await self.house.db.rows(
            "UPDATE grocery_orders SET due_at = now() WHERE order_id = ANY ($1) AND status = 'PROCESSING' RETURNING order_id",
            silent,
        )
        return bool(rows or waiting)

    def stop(self) -> None:
        """Stop all that was started; the database is audited."""
        try:
            self.gateways.stop()
            self.call(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_S)
            self._loop.close()
