"""Inventory and pricing behind bad weather: in doubt within the deadline, never a refusal, and well again by itself."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.quote import Want
from autogrocery.gateway.peers.inventory import CALL_TIMEOUT_S, Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import due
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.rpc.client import open_channel
from autogrocery.lab.fault_proxy import CALM, FaultProxy, Weather, open_proxy
from tests.harness.fake_peers import serve_peers
from tests.harness.gateway_actions import House, open_house
from tests.harness.running_gateway import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

MARGIN_S = 3.0  # of a busy machine, on top of a deadline
MILK = [Want("milk", 2)]
BREAKING = {
    "reset": Weather(reset_after_bytes=60),
    "reset at once": Weather(reset_after_bytes=0),
    "swallowed": Weather(swallow_replies=True),
    "a black hole": Weather(black_hole=True),
}
MILD = {
    "late": Weather(latency_s=0.02, jitter_s=0.02),
    "in slices": Weather(slice_bytes=3),
    "refused": Weather(refuse=True),
}


@asynccontextmanager
async def weathered(db: Db) -> AsyncIterator[tuple[House, FaultProxy]]:
    """A house whose channel to its peers leads through a proxy."""
    async with open_house(db) as house, serve_peers() as (shelf, prices, target):
        host, port = target.split(":")
        async with open_proxy((host, int(port))) as proxy, open_channel(f"127.0.0.1:{proxy.port}") as channel:
            yield (
                msgspec.structs.replace(
                    house,
                    inventory=Inventory(channel),
                    pricing=Pricing(channel),
                    shelf=shelf,
                    prices=prices,
                    channel=channel,
                ),
                proxy,
            )
            proxy.weather = CALM


def calls(house: House, order_id: UUID) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: house.inventory.reserve(order_id, MILK, hold_s=60, allow_partial=False),
        lambda: house.inventory.get_order(order_id),
        lambda: house.inventory.check_availability(["milk"]),
        lambda: house.pricing.quote(order_id, MILK),
        lambda: house.pricing.list_products("", "", 10),
    ]


async def clear(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except InDoubt:
        return False
    return True


async def heal(house: House) -> None:
    """What the sweeper does, until nothing is owed."""

    async def nothing_owed() -> bool:
        await house.db.run("UPDATE grocery_orders SET due_at = now() WHERE finished_at IS NULL")
        for item in await due.claim_owed(house.db):
            await clear(lambda item=item: sweep(house.db, house.inventory, house.metrics, item, patience_s=600))
        row = await house.db.row("SELECT count(*) AS owed FROM grocery_orders WHERE intent IS NOT NULL")
        return row is not None and row["owed"] == 0

    await until(nothing_owed)


@pytest.mark.parametrize("weather", BREAKING)
async def test_no_answer_is_in_doubt_in_time_and_a_later_call_is_answered(gateway_db: Db, weather: str) -> None:
    async with weathered(gateway_db) as (house, proxy):
        order_id = uuid7()
        for call in calls(house, order_id):
            await until(lambda call=call: clear(call))
        proxy.weather = BREAKING[weather]
        begun = time.monotonic()
        assert not any(await asyncio.gather(*(clear(call) for call in calls(house, order_id))))
        assert time.monotonic() - begun < CALL_TIMEOUT_S + MARGIN_S
        proxy.weather = CALM
        for call in calls(house, order_id):
            await until(lambda call=call: clear(call))


@pytest.mark.parametrize("weather", MILD)
async def test_what_still_passes_is_answered(gateway_db: Db, weather: str) -> None:
    """Refusing new connections does not touch those in use."""
    async with weathered(gateway_db) as (house, proxy):
        order_id = uuid7()
        await until(lambda: clear(calls(house, order_id)[0]))
        proxy.weather = MILD[weather]
        for call in calls(house, order_id):
            await until(lambda call=call: clear(call))


async def test_a_peer_that_refuses_connections_is_in_doubt_at_once_and_found_again(gateway_db: Db) -> None:
    async with weathered(gateway_db) as (house, proxy):
        order_id = uuid7()
        proxy.weather = Weather(refuse=True)
        assert not any(await asyncio.gather(*(clear(call) for call in calls(house, order_id))))
        proxy.weather = CALM
        for call in calls(house, order_id):
            await until(lambda call=call: clear(call))


@pytest.mark.parametrize("weather", ["swallowed", "reset"])
async def test_robots_whose_answer_is_lost_are_sent_once(gateway_db: Db, weather: str) -> None:
    async with weathered(gateway_db) as (house, proxy):
        order = await house.preview(milk=2)
        proxy.weather = BREAKING[weather]
        promised, settled = await house.confirm(order.order_id)
        assert (settled, promised.status) == (False, Status.PREVIEWED)
        proxy.weather = CALM
        await heal(house)
        assert (await house.order(order.order_id)).status is Status.PROCESSING
        assert house.shelf.dispatches[str(order.order_id)] == 1
        assert (await house.confirm(order.order_id))[1]


@pytest.mark.parametrize("weather", ["swallowed", "reset at once"])
async def test_a_release_whose_answer_is_lost_gives_the_stock_back_once(gateway_db: Db, weather: str) -> None:
    async with weathered(gateway_db) as (house, proxy):
        order = await house.preview(milk=2)
        proxy.weather = BREAKING[weather]
        releasing, settled = await house.cancel(order.order_id)
        assert (settled, releasing.status) == (False, Status.PREVIEWED)
        proxy.weather = CALM
        await heal(house)
        assert (await house.order(order.order_id)).status is Status.CANCELLED
        assert house.shelf.stock["milk"] == 1_000


@pytest.mark.parametrize("weather", ["swallowed", "reset at once"])
async def test_a_hold_whose_answer_is_lost_is_found_again_by_its_key(gateway_db: Db, weather: str) -> None:
    async with weathered(gateway_db) as (house, proxy):
        await house.preview(bread=1)
        proxy.weather = BREAKING[weather]
        with pytest.raises(Unavailable):
            await house.preview(key="k", milk=2)
        proxy.weather = CALM

        async def previewed() -> bool:
            try:
                await house.preview(key="k", milk=2)
            except Unavailable:
                return False
            return True

        await until(previewed)
        row = await house.db.row("SELECT count(*) AS found FROM grocery_orders")
        assert row is not None
        assert (row["found"], house.shelf.stock["milk"]) == (2, 998)


async def test_a_peer_that_is_slow_to_shake_hands_is_met_in_the_first_call(gateway_db: Db) -> None:
    """A connection that takes its time is waited for: it is not given up for another one, which would take as long."""
    async with weathered(gateway_db) as (house, proxy):
        proxy.weather = Weather(latency_s=0.15)
        assert await clear(lambda: house.inventory.get_order(uuid7()))
        assert (proxy.opened, proxy.broken) == (1, 0)
