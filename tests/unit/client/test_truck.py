from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from autogrocery.client import Goods, Manifest, Problem, RestockResponse, RetryLimits, Truck, Unanswered
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RESTOCK, LOGIN = "/api/truck/restock", "/api/truck/login"
PASSWORD = "correct horse battery"
SHORT = RetryLimits(0.4, 0.2)


def goods(sku: str = "milk", quantity: int = 12) -> Goods:
    return Goods(sku, sku.title(), "dairy", quantity, date(2026, 1, 1), date(2026, 2, 1), 60)


NUMBERED = Manifest("farm", "The Farm", [goods()], "2026-117")
UNNUMBERED = Manifest("farm", "The Farm", [goods()])


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with serving(trucks={"truck-1": PASSWORD}, devices={"fridge-1": PASSWORD}) as fake:
        yield fake


@pytest.fixture
async def truck(gateway: FakeGateway) -> AsyncIterator[Truck]:
    async with Truck(gateway.url, "truck-1", PASSWORD, retry_limits=RetryLimits(5, 2)) as opened:
        yield opened


async def test_restock_then_finished_returns_received_delivery(truck: Truck, gateway: FakeGateway) -> None:
    restock = await truck.restock(NUMBERED)
    assert (restock.status, restock.items[0].short, restock.terminal) == ("RECEIVING", 12, False)
    done = await truck.finished(restock.order_id, within_s=5)
    assert (done.status, done.items[0].received, done.terminal) == ("RECEIVED", 12, True)
    assert len(gateway.seen(LOGIN)) == 1


async def test_truck_login_with_device_account_raises_invalid_credentials(gateway: FakeGateway) -> None:
    async with Truck(gateway.url, "fridge-1", PASSWORD) as truck:
        with pytest.raises(Problem, match="invalid_credentials"):
            await truck.restock(NUMBERED)


async def test_lost_restock_responses_lead_to_one_delivery(truck: Truck, gateway: FakeGateway) -> None:
    gateway.fault_queue[RESTOCK].extend(["lose", "lose"])
    restock = await truck.restock(NUMBERED)
    assert [one["body"]["order_id"] for one in gateway.restocks.values()] == [restock.order_id]
    assert len(gateway.seen(RESTOCK)) == 3


async def test_restock_in_doubt_is_repeated_until_dispatched(gateway: FakeGateway) -> None:
    responses: list[RestockResponse] = []
    gateway.fault_queue[RESTOCK].extend(["doubt", "doubt"])
    async with Truck(gateway.url, "truck-1", PASSWORD, on_response=responses.append) as truck:
        assert (await truck.restock(NUMBERED)).dispatch == "dispatched"
    assert [one.http_status for one in responses] == [202, 202, 200]


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (Manifest("farm", "The Farm", [goods(quantity=-1)], "1"), "invalid_request"),
        (Manifest("farm", "The Farm", [goods("unwanted")], "1"), "restock_refused"),
    ],
)
async def test_refused_restock_is_sent_once_and_not_resumed(
    truck: Truck, gateway: FakeGateway, manifest: Manifest, code: str
) -> None:
    with pytest.raises(Problem) as refusal:
        await truck.restock(manifest)
    assert (refusal.value.code, len(gateway.seen(RESTOCK))) == (code, 1)
    assert await truck.resume() is None


async def test_other_manifest_with_same_number_raises_manifest_mismatch(truck: Truck) -> None:
    await truck.restock(NUMBERED)
    with pytest.raises(Problem, match="manifest_mismatch"):
        await truck.restock(Manifest("farm", "The Farm", [goods(quantity=13)], "2026-117"))


async def test_only_restock_without_manifest_no_has_idempotency_key(truck: Truck, gateway: FakeGateway) -> None:
    await truck.restock(NUMBERED)
    await truck.restock(UNNUMBERED)
    await truck.restock(UNNUMBERED)
    keys = [headers.get("Idempotency-Key") for _, _, headers in gateway.seen(RESTOCK)]
    assert keys[0] is None
    assert len(set(keys)) == 3


@pytest.mark.parametrize("manifest", [NUMBERED, UNNUMBERED])
async def test_resume_after_lost_restock_returns_same_delivery(
    gateway: FakeGateway, tmp_path: Path, manifest: Manifest
) -> None:
    gateway.fault_queue[RESTOCK].extend(["lose"] * 50)
    async with Truck(gateway.url, "truck-1", PASSWORD, state_file=tmp_path / "n", retry_limits=SHORT) as truck:
        with pytest.raises(Unanswered):
            await truck.restock(manifest)
    gateway.fault_queue.clear()
    async with Truck(gateway.url, "truck-1", PASSWORD, state_file=tmp_path / "n") as truck:
        resumed = await truck.resume()
        assert await truck.resume() is None
    assert resumed is not None
    assert [one["body"]["order_id"] for one in gateway.restocks.values()] == [resumed.order_id]


async def test_status_of_unknown_delivery_raises_order_not_found(truck: Truck) -> None:
    with pytest.raises(Problem, match="order_not_found"):
        await truck.status("01a21df7-6b1d-73bb-8efc-ac92ce274470")
