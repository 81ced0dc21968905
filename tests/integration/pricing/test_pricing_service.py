from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import MessageToDict

from autogrocery.contracts.pricing.v1 import pricing_pb2 as wire
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.status import Code
from autogrocery.pricing.app import main
from tests.harness.grpc_client import DEADLINE_S, PRICING, code_of, patient_stub, when_ready

if TYPE_CHECKING:
    from collections.abc import Awaitable


ORDER_ID = str(uuid4())


def milk(**changed: object) -> wire.StockMetric:
    fields: dict[str, object] = {
        "sku": "m1",
        "name": "Milk 1 l",
        "aisle_type": "dairy",
        "unit_price_cents": 149,
        "quantity": 9,
    }
    return wire.StockMetric(**{**fields, **changed})


async def load(pricing: Any, *updates: wire.StockMetric) -> int:
    return (await pricing.UpdateStockMetrics(wire.UpdateStockMetricsRequest(updates=updates))).updated


async def quote(pricing: Any, *items: tuple[str, int]) -> wire.QuoteResponse:
    basket = [wire.Item(sku=sku, quantity=quantity) for sku, quantity in items]
    return await pricing.Quote(wire.QuoteRequest(order_id=ORDER_ID, items=basket))


async def refused(call: Awaitable[Any]) -> None:
    assert await code_of(call) is Code.INVALID_ARGUMENT


async def test_quote_prices_lines_in_order_and_lists_unknown_skus(pricing: Any) -> None:
    await load(pricing, milk(), milk(sku="b1", name="Bread", aisle_type="bread", unit_price_cents=250))
    quoted = await quote(pricing, ("m1", 3), ("no-such", 1), ("b1", 1), ("nul\0sku", 1))
    assert (quoted.order_id, quoted.currency, quoted.total_cents) == (ORDER_ID, "EUR", 697)
    assert [
        (line.sku, line.name, line.quantity, line.unit_price_cents, line.line_total_cents) for line in quoted.lines
    ] == [
        ("m1", "Milk 1 l", 3, 149, 447),
        ("b1", "Bread", 1, 250, 250),
    ]
    assert list(quoted.unknown_skus) == ["no-such", "nul\0sku"]


@pytest.mark.parametrize("items", [[], [("m1", 0)], [("m1", -3)], [("m1", 1000)], [("m1", 1), ("m1", 1)]])
async def test_a_basket_out_of_bounds_is_an_invalid_argument(pricing: Any, items: list[tuple[str, int]]) -> None:
    await load(pricing, milk())
    await refused(quote(pricing, *items))


async def test_an_order_id_that_is_no_uuid_is_an_invalid_argument(pricing: Any) -> None:
    await refused(pricing.Quote(wire.QuoteRequest(order_id="7", items=[wire.Item(sku="m1", quantity=1)])))


async def test_price_is_cost_plus_margin_unless_given(pricing: Any) -> None:
    await load(pricing, milk(unit_price_cents=0, unit_cost_cents=101), milk(sku="m2", unit_cost_cents=101))
    quoted = await quote(pricing, ("m1", 1), ("m2", 1))
    assert [line.unit_price_cents for line in quoted.lines] == [132, 149]


async def test_update_keeps_omitted_fields(pricing: Any) -> None:
    await load(pricing, milk())
    await load(pricing, wire.StockMetric(sku="m1", quantity=3))
    product = (await pricing.GetPrice(wire.GetPriceRequest(sku="m1"))).product
    assert MessageToDict(product) == {
        "sku": "m1",
        "name": "Milk 1 l",
        "aisleType": "dairy",
        "unitPriceCents": "149",
        "currency": "EUR",
    }


async def test_update_changes_the_next_quote(pricing: Any) -> None:
    await load(pricing, milk())
    await load(pricing, milk(unit_price_cents=151))
    assert (await quote(pricing, ("m1", 2))).total_cents == 302


async def test_last_update_of_a_sku_in_one_call_counts(pricing: Any) -> None:
    assert await load(pricing, milk(), milk(unit_price_cents=99)) == 1
    assert (await quote(pricing, ("m1", 1))).total_cents == 99


@pytest.mark.parametrize(
    "fields",
    [
        {"aisle_type": "garden"},
        {"aisle_type": ""},
        {"unit_price_cents": 0},
        {"unit_price_cents": -1},
        {"unit_cost_cents": -1},
        {"quantity": -1},
        {"sku": ""},
        {"sku": "nul\0"},
        {"sku": "tab\t"},
        {"name": "line\nbreak"},
        {"sku": "x" * 65},
        {"name": "x" * 201},
        {"unit_price_cents": 10**12 + 1},
    ],
)
async def test_invalid_product_changes_nothing(pricing: Any, fields: dict[str, object]) -> None:
    await refused(load(pricing, milk(sku="other"), milk(**fields)))
    assert not (await pricing.ListProducts(wire.ListProductsRequest())).products


async def test_an_unknown_sku_has_no_price(pricing: Any) -> None:
    for sku in ("no-such", "", "nul\0"):
        assert not (await pricing.GetPrice(wire.GetPriceRequest(sku=sku))).HasField("product")


async def test_list_pages_by_sku_without_gap_or_repeat(pricing: Any) -> None:
    await load(pricing, *(milk(sku=f"s{number:03}") for number in range(25)))
    seen, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = await pricing.ListProducts(wire.ListProductsRequest(cursor=cursor, limit=10))
        seen += [product.sku for product in page.products]
        cursor, pages = page.next_cursor, pages + 1
    assert (seen, pages) == ([f"s{number:03}" for number in range(25)], 3)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("MILK", ["m1"]),
        ("b1", ["b1"]),
        ("100%", ["b1"]),
        ("%", ["b1"]),
        ("_", []),
        ("\\", []),
        ("rye 100%", ["b1"]),
        ("zz", []),
    ],
)
async def test_search_matches_names_and_skus_literally(pricing: Any, query: str, found: list[str]) -> None:
    await load(pricing, milk(), milk(sku="b1", name="Rye 100% wheat", aisle_type="bread"))
    page = await pricing.ListProducts(wire.ListProductsRequest(query=query))
    assert [product.sku for product in page.products] == found


@pytest.mark.parametrize("fields", [{"limit": -1}, {"limit": 201}, {"query": "x" * 201}, {"cursor": "a\0"}])
async def test_a_search_out_of_bounds_is_an_invalid_argument(pricing: Any, fields: dict[str, object]) -> None:
    await refused(pricing.ListProducts(wire.ListProductsRequest(**fields)))


async def test_crossing_updates_do_not_deadlock(pricing: Any) -> None:
    there = [milk(sku=f"s{number}") for number in range(50)]
    updated = await asyncio.gather(*(load(pricing, *(there if turn % 2 else reversed(there))) for turn in range(16)))
    assert updated == [50] * 16


async def test_process_serves_until_stopped(dsn: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        addr = f"127.0.0.1:{free.getsockname()[1]}"
    stop = asyncio.Event()
    running = asyncio.create_task(main({"DATABASE_URL": dsn, "PRICING_GRPC_ADDR": addr}, stop))
    try:
        async with open_channel(addr) as channel:
            pricing = patient_stub(channel, PRICING)
            found = await when_ready(lambda: pricing.GetPrice(wire.GetPriceRequest(sku="m1")))
        assert not found.HasField("product")
    finally:
        stop.set()
        await asyncio.wait_for(running, DEADLINE_S)


async def test_database_without_pricing_tables_fails_the_start(gateway_dsn: str) -> None:
    with pytest.raises(StartError, match="autogrocery migrate"):
        await main({"DATABASE_URL": gateway_dsn, "PRICING_GRPC_ADDR": "127.0.0.1:0"}, asyncio.Event())


async def test_database_without_an_answer_fails_the_start() -> None:
    with pytest.raises(StartError, match="DATABASE_URL"):
        await main(
            {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "PRICING_GRPC_ADDR": "127.0.0.1:0"}, asyncio.Event()
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", ""), ("CURRENCY", "dollars"), ("PRICE_MARGIN_PERCENT", "-1"), ("PRICING_GRPC_ADDR", "x")],
)
async def test_invalid_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        await main({"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", name: value}, asyncio.Event())
