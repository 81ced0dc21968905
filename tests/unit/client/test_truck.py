from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from autogrocery.client import Goods, Manifest, Patience, Problem, ToldRestock, Truck, Unanswered
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RESTOCK, LOGIN = "/api/truck/restock", "/api/truck/login"
PASSWORD = "correct horse battery"
SHORT = Patience(0.4, 0.2)


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
    async with Truck(gateway.url, "truck-1", PASSWORD, patience=Patience(5, 2)) as opened:
        yield opened


async def test_a_delivery_is_announced_and_watched_until_it_is_put_away(truck: Truck, gateway: FakeGateway) -> None:
    restock = await truck.restock(NUMBERED)
    assert (restock.status, restock.items[0].short, restock.terminal) == ("RECEIVING", 12, False)
    done = await truck.finished(restock.order_id, within_s=5)
    assert (done.status, done.items[0].received, done.terminal) == ("RECEIVED", 12, True)
    assert len(gateway.seen(LOGIN)) == 1


async def test_a_truck_does_not_log_in_at_the_devices_door(gateway: FakeGateway) -> None:
    async with Truck(gateway.url, "fridge-1", PASSWORD) as stranger:
        with pytest.raises(Problem, match="invalid_credentials"):
            await stranger.restock(NUMBERED)


async def test_a_lost_answer_leads_to_the_same_delivery(truck: Truck, gateway: FakeGateway) -> None:
    gateway.mischief[RESTOCK].extend(["lose", "lose"])
    restock = await truck.restock(NUMBERED)
    assert [one["told"]["order_id"] for one in gateway.restocks.values()] == [restock.order_id]
    assert len(gateway.seen(RESTOCK)) == 3


async def test_a_delivery_in_doubt_is_asked_for_until_it_is_known(gateway: FakeGateway) -> None:
    told: list[ToldRestock] = []
    gateway.mischief[RESTOCK].extend(["doubt", "doubt"])
    async with Truck(gateway.url, "truck-1", PASSWORD, heard=told.append) as truck:
        assert (await truck.restock(NUMBERED)).dispatch == "dispatched"
    assert [one.http_status for one in told] == [202, 202, 200]


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (Manifest("farm", "The Farm", [goods(quantity=-1)], "1"), "invalid_request"),
        (Manifest("farm", "The Farm", [goods("unwanted")], "1"), "restock_refused"),
    ],
)
async def test_a_refusal_is_told_once_and_leaves_nothing_on_board(
    truck: Truck, gateway: FakeGateway, manifest: Manifest, code: str
) -> None:
    with pytest.raises(Problem) as refusal:
        await truck.restock(manifest)
    assert (refusal.value.code, len(gateway.seen(RESTOCK))) == (code, 1)
    assert await truck.resume() is None


async def test_another_manifest_under_the_same_number_is_refused(truck: Truck) -> None:
    await truck.restock(NUMBERED)
    with pytest.raises(Problem, match="manifest_mismatch"):
        await truck.restock(Manifest("farm", "The Farm", [goods(quantity=13)], "2026-117"))


async def test_only_a_delivery_without_a_number_carries_a_key(truck: Truck, gateway: FakeGateway) -> None:
    await truck.restock(NUMBERED)
    await truck.restock(UNNUMBERED)
    await truck.restock(UNNUMBERED)
    keys = [headers.get("Idempotency-Key") for _, _, headers in gateway.seen(RESTOCK)]
    assert keys[0] is None
    assert len(set(keys)) == 3


@pytest.mark.parametrize("manifest", [NUMBERED, UNNUMBERED])
async def test_power_lost_on_the_way_resumes_the_same_delivery(
    gateway: FakeGateway, tmp_path: Path, manifest: Manifest
) -> None:
    gateway.mischief[RESTOCK].extend(["lose"] * 50)
    async with Truck(gateway.url, "truck-1", PASSWORD, notebook=tmp_path / "n", patience=SHORT) as truck:
        with pytest.raises(Unanswered):
            await truck.restock(manifest)
    gateway.mischief.clear()
    async with Truck(gateway.url, "truck-1", PASSWORD, notebook=tmp_path / "n") as truck:
        resumed = await truck.resume()
        assert await truck.resume() is None
    assert resumed is not None
    assert [one["told"]["order_id"] for one in gateway.restocks.values()] == [resumed.order_id]


async def test_a_delivery_of_nobodys_is_not_found(truck: Truck) -> None:
    with pytest.raises(Problem, match="order_not_found"):
        await truck.status("01a21df7-6b1d-73bb-8efc-ac92ce274470")
