"""What inventory tells operators of orders and invariants: a real one, one with a violation, one away, one silent."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from autogrocery.console.core.lanes import events_of
from autogrocery.contracts.ops.attention import AttentionOut
from autogrocery.contracts.ops.orders import OrderBundle
from autogrocery.contracts.ops.overview import InvariantsOut, Overview
from tests.harness.operators import READ, Operator
from tests.harness.operators import operator as sign_in
from tests.harness.running_gateway import serve_gateway
from tests.harness.running_inventory import ROBOT_SECRET, run_inventory
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.running_inventory import RunningInventory

WITHIN_S = 1.0


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


def settings_of(inventory: RunningInventory) -> dict[str, str]:
    return {"INVENTORY_GRPC_TARGET": inventory.target, "ROBOT_JWT_SECRET": ROBOT_SECRET}


async def bundle(reader: Operator, order_id: str) -> OrderBundle:
    """Return the bundle, which comes in time whatever inventory does."""
    began = time.monotonic()
    found = await reader.read(f"/orders/{order_id}")
    assert time.monotonic() - began < WITHIN_S
    return msgspec.convert(found, OrderBundle, strict=False)


async def audited(reader: Operator) -> InvariantsOut:
    """Return the invariants once both databases were audited."""

    async def is_told() -> bool:
        found = await reader.read("/invariants")
        return found["untold"] == {}

    await until(is_told, 10.0, 0.1)
    return msgspec.convert(await reader.read("/invariants"), InvariantsOut, strict=False)


async def test_bundle_and_tiles_have_what_inventory_tells(gateway_dsn: str, inventory_dsn: str) -> None:
    async with run_inventory(inventory_dsn) as inventory:
        await inventory.fleet()
        await inventory.stock(milk=50, apple=50)
        async with serve_gateway(gateway_dsn, **settings_of(inventory)) as gateway:
            reader, device = await sign_in(gateway, READ), await gateway.device()
            order_id = await device.processing(milk=2)
            (share,) = (await bundle(reader, order_id)).inventory.assignments
            assert (share.state, share.robot_class, share.lease_until) == ("OPEN", "dairy", None)
            lease = await inventory.start(share.robot_id, share.assignment_id)
            await inventory.report(share.robot_id, share.assignment_id, lease.fence, milk=2)

            async def is_sent() -> bool:
                return any(one.done_at for one in (await bundle(reader, order_id)).inventory.webhooks)

            await until(is_sent, 5.0, 0.1)
            whole = await bundle(reader, order_id)
            told = whole.inventory
            assert (told.state, told.picked, told.untold) == ("completed", {"milk": 2}, None)
            assert [(one.state, one.robot_id) for one in told.assignments] == [("PICKED", share.robot_id)]
            assert told.assignments[0].closed_at is not None
            assert sum(one.quantity for one in told.lots if one.sku == "milk") == 2
            assert "dairy closed" in [event.text for event in events_of(whole)]

            found = await audited(reader)
            assert {one.source for one in found.data} == {"gateway", "inventory"}
            assert not [one.name for one in found.data if one.source == "inventory" and one.violations]

            async def has_values() -> bool:
                seen = msgspec.convert(await reader.read("/overview"), Overview, strict=False)
                tiles = {tile.name: tile for tile in seen.tiles}
                return all(tiles[name].value == 0 and tiles[name].ok for name in ("oversold", "second_dispatches"))

            await until(has_values, 5.0, 0.2)

            await inventory.down()
            whole = await bundle(reader, order_id)
            assert whole.inventory.state is None
            assert (whole.inventory.untold or "").startswith("inventory gives no clear answer: ")
            assert [one.to_status for one in whole.history] == ["PREVIEWED", "PROCESSING"]
            assert (await reader.read("/invariants"))["data"], "what inventory told before stays"


async def test_violation_at_inventory_shows_in_tile_and_attention(gateway_dsn: str, inventory_dsn: str) -> None:
    async with run_inventory(inventory_dsn) as inventory:
        await inventory.stock(milk=50)
        await inventory.db.run("UPDATE inventory.stock SET on_hand = on_hand + 1 WHERE sku = 'milk'")
        async with serve_gateway(gateway_dsn, **settings_of(inventory)) as gateway:
            reader = await sign_in(gateway, READ)
            found = await audited(reader)
            assert found.clean is False
            listed = msgspec.convert(await reader.read("/attention"), AttentionOut, strict=False)
            violated = {one.id: one for one in listed.data if one.kind == "invariant"}
            assert violated["stock_is_conserved"].cause == "invariant_violated"

            async def is_shown() -> bool:
                seen = msgspec.convert(await reader.read("/overview"), Overview, strict=False)
                (tile,) = [tile for tile in seen.tiles if tile.name == "oversold"]
                return bool(tile.value) and not tile.ok and seen.attention == listed.total

            await until(is_shown, 5.0, 0.2)


async def test_silent_inventory_does_not_keep_bundle_or_audit_waiting(gateway_dsn: str) -> None:
    async with serve_gateway(gateway_dsn) as first:
        order_id = await (await first.device()).previewed()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)

    opened: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    target = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    try:
        async with serve_gateway(gateway_dsn, INVENTORY_GRPC_TARGET=target) as gateway:
            reader = await sign_in(gateway, READ)
            whole = await bundle(reader, order_id)
            assert (whole.inventory.state, whole.inventory.assignments) == (None, [])
            assert "none within" in (whole.inventory.untold or "")

            async def is_checked() -> bool:
                return bool((await reader.read("/invariants"))["data"])

            await until(is_checked, 5.0, 0.1)
            assert "inventory" in (await reader.read("/invariants"))["untold"]
    finally:
        for writer in opened:
            writer.close()
        silent.close()
