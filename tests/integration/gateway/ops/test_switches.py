"""Switches: kept in the database, obeyed by every gateway within a second, and they refuse only what would begin."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio

from autogrocery.kit.process.clock import now, rfc3339
from tests.harness.operators import REASON
from tests.harness.running_gateway import Device, serve_gateway
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.operators import Operator

pytestmark = pytest.mark.asyncio(loop_scope="module")
OBEYED_WITHIN_S = 1.0


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def all_off(operator: Operator) -> AsyncIterator[None]:
    yield
    operator.gateway.fake_pricing.clear_faults()
    for one in (await operator.get("/switches")).json["data"]:
        if one["on"]:
            await operator.switch(one["name"], on=False)


async def test_paused_previews_return_503_and_orders_go_on(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    assert (await operator.switch("pause_previews", on=True)).json["on"] is True
    reply = await device.preview()
    assert (reply.status, reply.code) == (503, "previews_paused")
    assert int(reply.headers["retry-after"]) >= 1
    assert (await device.confirm(order_id)).json["status"] == "PROCESSING"
    await operator.switch("pause_previews", on=False)
    assert (await device.preview()).status == 201


async def test_paused_previews_still_answer_the_repeat_of_a_key(device: Device, operator: Operator) -> None:
    first = await device.preview(key="basket-1")
    await operator.switch("pause_previews", on=True)
    again = await device.preview(key="basket-1")
    assert (again.status, again.json["order_id"]) == (201, first.json["order_id"])
    assert again.headers["idempotency-replayed"] == "true"


async def test_paused_dispatch_refuses_before_anything_is_promised(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    await operator.switch("pause_dispatch", on=True)
    reply = await device.confirm(order_id)
    assert (reply.status, reply.code) == (503, "dispatch_paused")
    order = await device.order(order_id)
    assert (order["status"], order["dispatch"], order["confirmed_at"]) == ("PREVIEWED", None, None)
    assert device.gateway.fake_inventory.dispatches[order_id] == 0
    assert (await device.cancel(order_id)).json["status"] == "CANCELLED"
    assert (await device.preview()).status == 201
    await operator.switch("pause_dispatch", on=False)


async def test_paused_dispatch_lets_an_order_in_doubt_go_on(device: Device, operator: Operator) -> None:
    order_id, inventory = await device.previewed(), device.gateway.fake_inventory
    inventory.abort_with = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}
    assert (await device.confirm(order_id)).status == 202
    await operator.switch("pause_dispatch", on=True)
    assert (await device.confirm(order_id)).status == 202
    inventory.clear_faults()
    await device.wait_for_status(order_id, "PROCESSING")
    assert (await device.confirm(order_id)).status == 200
    assert inventory.dispatches[order_id] == 1


async def test_drained_aisle_refuses_its_products_only(device: Device, operator: Operator) -> None:
    await operator.switch("drain_aisle:dairy", on=True)  # the fake pricing has every product in aisle dairy
    reply = await device.preview(milk=1)
    assert (reply.status, reply.code) == (409, "aisle_drained")
    assert [flaw["sku"] for flaw in reply.json["errors"]] == ["milk"]
    await operator.switch("drain_aisle:dairy", on=False)
    await operator.switch("drain_aisle:meat", on=True)
    assert (await device.preview(milk=1)).status == 201


async def test_drained_aisle_of_unknown_products_refuses_every_preview(device: Device, operator: Operator) -> None:
    device.gateway.fake_pricing.abort_with = grpc.StatusCode.UNAVAILABLE
    await operator.switch("drain_aisle:bread", on=True)
    reply = await device.preview()
    assert (reply.status, reply.code) == (503, "aisle_unknown")
    device.gateway.fake_pricing.clear_faults()

    async def is_known() -> bool:
        return (await device.preview()).status == 201

    await until(is_known, 8.0, 0.2)


async def test_maintenance_refuses_new_quotes_and_lets_orders_end(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    await operator.switch("maintenance", on=True)
    assert (await device.preview()).code == "maintenance"
    assert (await device.confirm(order_id)).json["status"] == "PROCESSING"


async def test_switch_ends_by_itself(device: Device, operator: Operator) -> None:
    until_at = now() + timedelta(seconds=1.5)
    reply = await operator.switch("pause_previews", on=True, until=rfc3339(until_at))
    assert reply.json["on"] is True
    assert (await device.preview()).code == "previews_paused"

    async def is_over() -> bool:
        return (await device.preview()).status == 201

    await until(is_over, 4.0, 0.1)
    assert now() >= until_at
    listed = {one["name"]: one for one in (await operator.get("/switches")).json["data"]}
    assert listed["pause_previews"]["on"] is False


async def test_every_gateway_obeys_within_a_second(module_dsn: str, device: Device, operator: Operator) -> None:
    async with serve_gateway(module_dsn) as second:
        there = Device(second, device.user_id, device.device_id, device.token)
        assert (await there.preview()).status == 201
        for on, status in ((True, 503), (False, 201)):
            await operator.switch("pause_previews", on=on)
            began = time.monotonic()
            while (await there.preview()).status != status:
                await asyncio.sleep(0.05)
                assert time.monotonic() - began < OBEYED_WITHIN_S


@pytest.mark.parametrize("until_at", ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00"])
async def test_switch_that_ends_at_no_future_instant_is_refused(operator: Operator, until_at: str) -> None:
    assert (await operator.switch("maintenance", on=True, until=until_at)).status == 422


async def test_unknown_switch_returns_404(operator: Operator) -> None:
    assert (await operator.switch("pause_everything", on=True)).code == "no_such_switch"


async def test_switch_that_is_on_shows_in_overview_and_attention(operator: Operator) -> None:
    until_at = now().replace(microsecond=0) + timedelta(hours=1)
    await operator.switch("pause_previews", on=True, until=rfc3339(until_at))
    await operator.switch("drain_aisle:meat", on=True)
    listed = (await operator.get("/attention")).json
    on = {one["id"]: one for one in listed["data"] if one["kind"] == "switch"}
    assert set(on) == {"pause_previews", "drain_aisle:meat"}
    assert on["pause_previews"]["cause"] == "switch_on"
    assert f"({REASON}; until {until_at:%Y-%m-%d %H:%M:%S} UTC)" in on["pause_previews"]["words"]
    assert f"({REASON}; until it is switched off)" in on["drain_aisle:meat"]["words"]

    async def is_shown() -> bool:
        seen = (await operator.get("/overview")).json
        return {one["name"] for one in seen["switches"]} == set(on) and seen["attention"] == listed["total"]

    await until(is_shown, 3.0, 0.2)
    for name in on:
        await operator.switch(name, on=False)
    assert [one for one in (await operator.get("/attention")).json["data"] if one["kind"] == "switch"] == []


async def test_switch_is_logged_with_before_and_after(operator: Operator) -> None:
    await operator.switch("maintenance", on=True)
    await operator.switch("maintenance", on=False)
    off, on = (await operator.log_of("switch:maintenance"))[:2]
    assert (on["before"]["on"], on["after"]["on"]) == (False, True)
    assert (off["before"]["on"], off["after"]["on"]) == (True, False)
