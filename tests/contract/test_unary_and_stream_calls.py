"""The two forms of the contract tests differ: stream calls use one stream, unary calls use none."""

from __future__ import annotations

import pytest
from msgspec.structs import fields

from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.kit.ids import uuid7
from autogrocery.kit.rpc.client import open_channel
from tests.contract.peers_under_test import FORMS, basket, proven
from tests.harness.fake_peers import serve_peers

MILK = basket(milk=2)


@pytest.mark.parametrize("form", FORMS)
async def test_calls_use_one_stream_unless_streams_are_off(form: str) -> None:
    async with serve_peers() as (shelf, prices, target), open_channel(target) as channel:
        streams = form == "stream"
        inventory = await proven(Inventory(channel, streams=streams))
        pricing = await proven(Pricing(channel, streams=streams))
        for _ in range(3):
            await pricing.quote(uuid7(), MILK)
            assert (await inventory.reserve(uuid7(), MILK, hold_s=60, allow_partial=False)).granted
        assert (shelf.calls["ReserveItems"], prices.calls["Quote"]) == (3, 3)
        assert (shelf.by_stream["ReserveItems"], prices.by_stream["Quote"]) == ((3, 3) if streams else (0, 0))
        assert (shelf.streams, prices.streams) == (int(streams), int(streams))


async def test_streams_are_off_by_default() -> None:
    assert {field.name: field.default for field in fields(GatewaySettings)}["peer_streams"] == "off"
    async with serve_peers() as (shelf, prices, target), open_channel(target) as channel:
        await Inventory(channel).check_availability(["milk"])
        await Pricing(channel).quote(uuid7(), MILK)
        assert (shelf.streams, prices.streams) == (0, 0)


async def test_every_call_about_orders_has_a_place_on_the_stream() -> None:
    async with serve_peers() as (shelf, prices, target), open_channel(target) as channel:
        inventory = await proven(Inventory(channel, streams=True))
        pricing = await proven(Pricing(channel, streams=True))
        shelf.calls.clear()
        order_id = uuid7()
        await inventory.reserve(order_id, MILK, hold_s=60, allow_partial=False)
        await inventory.assign_robots(order_id, MILK)
        await inventory.get_order(order_id)
        await inventory.check_availability(["milk"])
        await pricing.quote(order_id, MILK)
        await pricing.list_products("", "", 10)
        assert (shelf.streams, prices.streams) == (1, 1)
        assert set(inventory_calls := shelf.calls) == {"ReserveItems", "AssignRobots", "GetOrder", "CheckAvailability"}
        assert set(inventory_calls.values()) == {1}
        assert set(shelf.by_stream) == set(inventory_calls)
