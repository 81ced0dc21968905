from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from autogrocery.client import Item, Kiosk, Patience, Problem, Unanswered
from autogrocery.client.memory import key_of
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MILK = [Item("milk", 2)]
SHORT = Patience(0.4, 0.2)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with serving(devices={"fridge-1": "correct horse battery"}, pick_s=60) as fake:
        yield fake


def open_kiosk(gateway: FakeGateway, notebook: Path, patience: Patience | None = None) -> Kiosk:
    return Kiosk(gateway.url, "fridge-1", "correct horse battery", notebook=notebook, patience=patience)


async def test_power_lost_during_the_preview_resumes_the_same_order(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.mischief["/api/client/order/preview"].extend(["lose"] * 50)
    async with open_kiosk(gateway, tmp_path / "n", SHORT) as kiosk:
        with pytest.raises(Unanswered):
            await kiosk.preview(MILK)
    gateway.mischief.clear()
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        order = await kiosk.resume()
    assert order is not None
    assert list(gateway.orders) == [order.order_id]


async def test_power_lost_during_the_confirm_resumes_the_confirm(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n", SHORT) as kiosk:
        order = await kiosk.preview(MILK)
        gateway.mischief["/api/client/order/confirm"].extend(["drop"] * 50)
        with pytest.raises(Unanswered):
            await kiosk.confirm(order.order_id)
    gateway.mischief.clear()
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        resumed = await kiosk.resume()
        assert resumed is not None
        assert (resumed.order_id, resumed.status) == (order.order_id, "PROCESSING")
        assert await kiosk.resume() is None


async def test_an_order_only_looked_at_is_not_bought_by_resuming(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        await kiosk.preview(MILK)
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        resumed = await kiosk.resume()
    assert resumed is not None
    assert resumed.status == "PREVIEWED"


async def test_a_refused_preview_leaves_nothing_in_flight(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        with pytest.raises(Problem):
            await kiosk.preview([Item("gone-fish", 1)])
        assert await kiosk.resume() is None


async def test_numbers_go_on_after_a_restart(gateway: FakeGateway, tmp_path: Path) -> None:
    for _ in range(2):
        async with open_kiosk(gateway, tmp_path / "n") as kiosk:
            await kiosk.preview(MILK)
    keys = {headers["Idempotency-Key"] for _, _, headers in gateway.seen("/preview")}
    assert len(keys) == len(gateway.orders) == 2


async def test_the_same_basket_id_names_the_same_order(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        first = await kiosk.preview(MILK, basket_id="tuesday")
        again = await kiosk.preview(MILK, basket_id="tuesday")
        assert first.order_id == again.order_id
        with pytest.raises(Problem, match="idempotency_mismatch"):
            await kiosk.preview([Item("milk", 3)], basket_id="tuesday")


async def test_a_torn_notebook_is_refused_not_guessed(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "n").write_text('{"device_id": "fri')
    with pytest.raises(ValueError, match="notebook"):
        async with open_kiosk(gateway, tmp_path / "n"):
            pass


async def test_a_notebook_of_another_device_is_refused(gateway: FakeGateway, tmp_path: Path) -> None:
    async with Kiosk(gateway.url, "fridge-2", "correct horse battery", notebook=tmp_path / "n") as other:
        await other._note(other._known())
    with pytest.raises(ValueError, match="another device"):
        async with open_kiosk(gateway, tmp_path / "n"):
            pass


async def test_the_notebook_is_private_and_holds_no_secret(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        await kiosk.preview(MILK)
    text = (tmp_path / "n").read_text()
    assert stat.S_IMODE((tmp_path / "n").stat().st_mode) == 0o600
    assert not any(secret in text for secret in ("correct horse", *gateway.tokens, *gateway.refresh_tokens))


def test_keys_are_visible_ascii_and_differ_by_device_and_basket() -> None:
    keys = {key_of(device, basket) for device in ("a", "b") for basket in ("1", "2")}
    assert len(keys) == 4
    assert all(key.isascii() and key.isprintable() and len(key) <= 255 for key in keys)
