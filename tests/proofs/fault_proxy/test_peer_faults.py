"""Network faults between gateway and peers: calls are in doubt within their deadline, never refused, and recover by
themselves."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.quote import RequestedItem
from autogrocery.gateway.peers.inventory import CALL_TIMEOUT_S, Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import due
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.ids import uuid7
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.lab.fault_proxy import NO_FAULTS, FaultProxy, NetworkFaults, open_proxy
from tests.harness.fake_peers import serve_peers
from tests.harness.gateway_actions import GatewayActions, open_gateway_actions
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

MARGIN_S = 3.0  # added to a deadline for a busy machine
MILK = [RequestedItem("milk", 2)]
BREAKING_FAULTS = {
    "reset": NetworkFaults(reset_after_bytes=60),
    "reset at once": NetworkFaults(reset_after_bytes=0),
    "swallowed": NetworkFaults(swallow_replies=True),
    "blocked": NetworkFaults(black_hole=True),
}
HARMLESS_FAULTS = {
    "late": NetworkFaults(latency_s=0.02, jitter_s=0.02),
    "in slices": NetworkFaults(slice_bytes=3),
    "refused": NetworkFaults(refuse=True),
}


@asynccontextmanager
async def open_faulty_peers(db: Db) -> AsyncIterator[tuple[GatewayActions, FaultProxy]]:
    """Open gateway actions whose channel to the peers leads through a fault proxy."""
    async with open_gateway_actions(db) as gateway, serve_peers() as (fake_inventory, fake_pricing, target):
        host, port = target.split(":")
        async with open_proxy((host, int(port))) as proxy, open_channel(f"127.0.0.1:{proxy.port}") as channel:
            yield (
                msgspec.structs.replace(
                    gateway,
                    inventory=Inventory(channel),
                    pricing=Pricing(channel),
                    fake_inventory=fake_inventory,
                    fake_pricing=fake_pricing,
                    channel=channel,
                ),
                proxy,
            )
            proxy.faults = NO_FAULTS


def calls(gateway: GatewayActions, order_id: UUID) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: gateway.inventory.reserve(order_id, MILK, hold_s=60, allow_partial=False),
        lambda: gateway.inventory.get_order(order_id),
        lambda: gateway.inventory.check_availability(["milk"]),
        lambda: gateway.pricing.quote(order_id, MILK),
        lambda: gateway.pricing.list_products("", "", 10),
    ]


async def gets_clear_reply(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except InDoubt:
        return False
    return True


async def sweep_all(gateway: GatewayActions) -> None:
    """Sweep until no order owes a call."""

    async def nothing_owed() -> bool:
        await gateway.db.run("UPDATE grocery_orders SET due_at = now() WHERE finished_at IS NULL")
        for item in await due.claim_owed(gateway.db):
            await gets_clear_reply(
                lambda item=item: sweep(gateway.store, gateway.inventory, gateway.metrics, item, give_up_after_s=600)
            )
        row = await gateway.db.row("SELECT count(*) AS owed FROM grocery_orders WHERE intent IS NOT NULL")
        return row is not None and row["owed"] == 0

    await until(nothing_owed)


@pytest.mark.parametrize("fault", BREAKING_FAULTS)
async def test_a_lost_reply_is_in_doubt_in_time_and_later_calls_are_answered(gateway_db: Db, fault: str) -> None:
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        order_id = uuid7()
        for call in calls(gateway, order_id):
            await until(lambda call=call: gets_clear_reply(call))
        proxy.faults = BREAKING_FAULTS[fault]
        begun = time.monotonic()
        assert not any(await asyncio.gather(*(gets_clear_reply(call) for call in calls(gateway, order_id))))
        assert time.monotonic() - begun < CALL_TIMEOUT_S + MARGIN_S
        proxy.faults = NO_FAULTS
        for call in calls(gateway, order_id):
            await until(lambda call=call: gets_clear_reply(call))


@pytest.mark.parametrize("fault", HARMLESS_FAULTS)
async def test_calls_are_answered_despite_harmless_faults(gateway_db: Db, fault: str) -> None:
    """Refusing new connections does not affect open ones."""
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        order_id = uuid7()
        await until(lambda: gets_clear_reply(calls(gateway, order_id)[0]))
        proxy.faults = HARMLESS_FAULTS[fault]
        for call in calls(gateway, order_id):
            await until(lambda call=call: gets_clear_reply(call))


async def test_a_peer_that_refuses_connections_is_in_doubt_at_once_and_recovers(gateway_db: Db) -> None:
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        order_id = uuid7()
        proxy.faults = NetworkFaults(refuse=True)
        assert not any(await asyncio.gather(*(gets_clear_reply(call) for call in calls(gateway, order_id))))
        proxy.faults = NO_FAULTS
        for call in calls(gateway, order_id):
            await until(lambda call=call: gets_clear_reply(call))


@pytest.mark.parametrize("fault", ["swallowed", "reset"])
async def test_a_lost_assign_reply_dispatches_once(gateway_db: Db, fault: str) -> None:
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        order = await gateway.preview(milk=2)
        proxy.faults = BREAKING_FAULTS[fault]
        promised, settled = await gateway.confirm(order.order_id)
        assert (settled, promised.status) == (False, Status.PREVIEWED)
        proxy.faults = NO_FAULTS
        await sweep_all(gateway)
        assert (await gateway.order(order.order_id)).status is Status.PROCESSING
        assert gateway.fake_inventory.dispatches[str(order.order_id)] == 1
        assert (await gateway.confirm(order.order_id))[1]


@pytest.mark.parametrize("fault", ["swallowed", "reset at once"])
async def test_a_lost_release_reply_returns_the_stock_once(gateway_db: Db, fault: str) -> None:
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        order = await gateway.preview(milk=2)
        proxy.faults = BREAKING_FAULTS[fault]
        releasing, settled = await gateway.cancel(order.order_id)
        assert (settled, releasing.status) == (False, Status.PREVIEWED)
        proxy.faults = NO_FAULTS
        await sweep_all(gateway)
        assert (await gateway.order(order.order_id)).status is Status.CANCELLED
        assert gateway.fake_inventory.stock["milk"] == 1_000


@pytest.mark.parametrize("fault", ["swallowed", "reset at once"])
async def test_a_lost_reserve_reply_is_repeated_by_its_key(gateway_db: Db, fault: str) -> None:
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        await gateway.preview(bread=1)
        proxy.faults = BREAKING_FAULTS[fault]
        with pytest.raises(Unavailable):
            await gateway.preview(key="k", milk=2)
        proxy.faults = NO_FAULTS

        async def previewed() -> bool:
            try:
                await gateway.preview(key="k", milk=2)
            except Unavailable:
                return False
            return True

        await until(previewed)
        row = await gateway.db.row("SELECT count(*) AS found FROM grocery_orders")
        assert row is not None
        assert (row["found"], gateway.fake_inventory.stock["milk"]) == (2, 998)


async def test_a_slow_handshake_completes_within_the_first_call(gateway_db: Db) -> None:
    """A slow handshake is waited for instead of opening another connection, which would take as long."""
    async with open_faulty_peers(gateway_db) as (gateway, proxy):
        proxy.faults = NetworkFaults(latency_s=0.15)
        assert await gets_clear_reply(lambda: gateway.inventory.get_order(uuid7()))
        assert (proxy.opened, proxy.broken) == (1, 0)
