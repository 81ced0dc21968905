"""The environment of the state machine: fake peers and HTTP clients on an event loop in a thread, gateways as
processes.

Hypothesis calls plain functions, and a gateway is killed while its peers live on; hence not
`tests.harness.gateway_process`.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from autogrocery.gateway.store import orders
from autogrocery.kit.pg.db import Db, open_db
from tests.harness.expected_orders import State, contradictions, unaccounted_stock
from tests.harness.fake_peers import PRICES
from tests.harness.gateway_actions import GatewayActions, open_gateway_actions
from tests.harness.running_gateway import Device, Reply, RunningGateway
from tests.proofs.battery.environment import clear_faults, run_loops_once
from tests.proofs.stateful.gateway_pair import GatewayPair

if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path
    from uuid import UUID

T = TypeVar("T")
CALL_S = 60.0
ANSWER_S = 15.0
SETTLE_S = 30.0
RATE_PAUSE_S = 0.06  # the rate limit grants a device one request every 50 ms


class RetryingDevice(Device):
    """A device that repeats a request after a 429."""

    async def get(self, path: str, **named: Any) -> Reply:
        return await _retry_rate_limited(lambda: Device.get(self, path, **named))

    async def post(self, path: str, body: Any = None, **named: Any) -> Reply:
        return await _retry_rate_limited(lambda: Device.post(self, path, body, **named))


async def _retry_rate_limited(send: Callable[[], Awaitable[Reply]]) -> Reply:
    while (reply := await send()).status == 429:  # noqa: ASYNC110 - what is awaited is in another process
        await asyncio.sleep(RATE_PAUSE_S)
    return reply


class Environment:
    """Everything that outlives an example. Every method is called from the thread of the state machine."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="environment")
        self._thread.start()
        self._stack = AsyncExitStack()
        self.actions: GatewayActions = self.call(self._open(dsn))
        self.fake_inventory = self.actions.fake_inventory
        self.gateways = GatewayPair(dsn, self.actions.target, folder)
        self.gateway = self.call(self._connect(self.actions.db))
        self._update_urls()

    def call(self, verb: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop and return its result."""
        return asyncio.run_coroutine_threadsafe(verb, self._loop).result(CALL_S)

    def run_in_loop(self, read_order: Callable[[], T]) -> T:
        """Run a function on the event loop, so that no peer changes meanwhile."""

        async def looking() -> T:
            return read_order()

        return self.call(looking())

    async def _open(self, dsn: str) -> GatewayActions:
        db = await self._stack.enter_async_context(open_db(dsn, application="tests"))
        return await self._stack.enter_async_context(open_gateway_actions(db))

    async def _connect(self, db: Db) -> RunningGateway:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        session = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        return RunningGateway("", "", db, self.fake_inventory, self.actions.fake_pricing, session)

    def _update_urls(self) -> None:
        serving = self.gateways.serving
        self.gateway.public = f"http://127.0.0.1:{serving.public}"
        self.gateway.internal = f"http://127.0.0.1:{serving.internal}"

    def replace_gateway(self, number: signal.Signals) -> None:
        """End the serving gateway by a signal; unanswered requests are lost."""
        self.gateways.replace(number)
        self._update_urls()

    def send(self, *requests: Coroutine[Any, Any, Reply]) -> list[Reply | None]:
        """Send requests concurrently; None stands for a response that did not arrive, whatever its request did."""

        return self.call(self._replies(requests))

    def send_and_end_gateway(self, number: signal.Signals, *requests: Coroutine[Any, Any, Reply]) -> list[Reply | None]:
        """Send requests and end the gateway by a signal while they are under way."""
        sent = asyncio.run_coroutine_threadsafe(self._replies(requests), self._loop)
        self.gateways.replace(number)
        answers = sent.result(CALL_S)
        self._update_urls()
        return answers

    async def _replies(self, requests: tuple[Coroutine[Any, Any, Reply], ...]) -> list[Reply | None]:
        answers = await asyncio.gather(*requests, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, aiohttp.ClientError):
                raise answer
        return [None if isinstance(answer, BaseException) else answer for answer in answers]

    def devices(self, count: int) -> list[Device]:
        made = [self.call(self.gateway.device()) for _ in range(count)]
        return [RetryingDevice(self.gateway, one.user_id, one.device_id, one.token) for one in made]

    def set_stock(self, **stock: int) -> dict[str, int]:
        """Set the stock; returns by SKU the units in stock and in unreleased orders."""

        def set_stock() -> dict[str, int]:
            clear_faults(self.actions)
            self.fake_inventory.stock.update({sku: stock[sku] - self.fake_inventory.stock[sku] for sku in PRICES})
            living = [
                self.fake_inventory.items[oid]
                for oid, state in self.fake_inventory.state.items()
                if state != State.RELEASED
            ]
            return {sku: stock[sku] + sum(items.get(sku, 0) for items in living) for sku in PRICES}

        return self.run_in_loop(set_stock)

    def unaccounted_stock(self, stocked: dict[str, int]) -> dict[str, int]:
        return self.run_in_loop(lambda: unaccounted_stock(self.fake_inventory, stocked))

    def expire(self, *order_ids: UUID) -> None:
        """Make the quotes among these orders overdue, and each of them due for the loops."""
        self.call(
            self.actions.db.run(
                "UPDATE grocery_orders SET due_at = now(),"
                " expires_at = CASE WHEN status = 'PREVIEWED' THEN least(expires_at, now()) ELSE expires_at END"
                " WHERE order_id = ANY ($1) AND finished_at IS NULL",
                list(order_ids),
            )
        )

    def settle_all(self, order_ids: list[UUID]) -> dict[str, list[str]]:
        """Clear the faults and run the loops until nothing is owed; returns the contradictions with inventory by order
        id."""
        return self.call(self._settle_all_in_loop(order_ids))

    async def _settle_all_in_loop(self, order_ids: list[UUID]) -> dict[str, list[str]]:
        clear_faults(self.actions)
        async with asyncio.timeout(SETTLE_S):
            while await self._unsettled(order_ids):
                await self.actions.db.run(
                    "UPDATE grocery_orders SET due_at = now(), expires_at = least(expires_at, now())"
                    " WHERE order_id = ANY ($1) AND finished_at IS NULL"
                    " AND (status = 'PREVIEWED' OR intent IS NOT NULL)",
                    order_ids,
                )
                await run_loops_once(self.actions)
        found = {}
        for order_id in order_ids:
            order = await orders.get(self.actions.db, order_id)
            if order and (found_contradictions := contradictions(order, self.fake_inventory)):
                found[str(order_id)] = found_contradictions
        return found

    async def _unsettled(self, order_ids: list[UUID]) -> bool:
        """Whether a loop still has work on one of these orders."""
        rows = await self.actions.db.rows(
            "SELECT order_id FROM grocery_orders"
            " WHERE order_id = ANY ($1) AND (status = 'PREVIEWED' OR intent IS NOT NULL)",
            order_ids,
        )
        done = {State.COMPLETED, State.FAILED}
        silent = [one for one in order_ids if self.fake_inventory.state.get(str(one)) in done]
        waiting = await self.actions.db.rows(
            "UPDATE grocery_orders SET due_at = now()"
            " WHERE order_id = ANY ($1) AND status = 'PROCESSING' RETURNING order_id",
            silent,
        )
        return bool(rows or waiting)

    def stop(self) -> None:
        """Stop everything that was started, and audit the database."""
        try:
            self.gateways.stop()
            self.call(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_S)
            self._loop.close()
