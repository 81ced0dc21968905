from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from autogrocery.client import Item, Kiosk, Problem, RetryLimits, Unanswered
from autogrocery.client.pending_calls import key_of
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MILK = [Item("milk", 2)]
SHORT = RetryLimits(0.4, 0.2)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with serving(devices={"fridge-1": "correct horse battery"}, pick_s=60) as fake:
        yield fake


def open_kiosk(gateway: FakeGateway, state_file: Path, retry_limits: RetryLimits | None = None) -> Kiosk:
    return Kiosk(gateway.url, "fridge-1", "correct horse battery", state_file=state_file, retry_limits=retry_limits)


async def test_resume_after_lost_preview_returns_same_order(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.fault_queue["/api/client/order/preview"].extend(["lose"] * 50)
    async with open_kiosk(gateway, tmp_path / "n", SHORT) as kiosk:
        with pytest.raises(Unanswered):
            await kiosk.preview(MILK)
    gateway.fault_queue.clear()
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        order = await kiosk.resume()
    assert order is not None
    assert list(gateway.orders) == [order.order_id]


async def test_resume_after_lost_confirm_confirms_same_order(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n", SHORT) as kiosk:
        order = await kiosk.preview(MILK)
        gateway.fault_queue["/api/client/order/confirm"].extend(["drop"] * 50)
        with pytest.raises(Unanswered):
            await kiosk.confirm(order.order_id)
    gateway.fault_queue.clear()
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        resumed = await kiosk.resume()
        assert resumed is not None
        assert (resumed.order_id, resumed.status) == (order.order_id, "PROCESSING")
        assert await kiosk.resume() is None


async def test_resume_of_previewed_order_does_not_confirm_it(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        await kiosk.preview(MILK)
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        resumed = await kiosk.resume()
    assert resumed is not None
    assert resumed.status == "PREVIEWED"


async def test_resume_after_refused_preview_returns_none(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        with pytest.raises(Problem):
            await kiosk.preview([Item("gone-fish", 1)])
        assert await kiosk.resume() is None


async def test_each_start_takes_a_new_number(gateway: FakeGateway, tmp_path: Path) -> None:
    for _ in range(2):
        async with open_kiosk(gateway, tmp_path / "n") as kiosk:
            await kiosk.preview(MILK)
    keys = {headers["Idempotency-Key"] for _, _, headers in gateway.seen("/preview")}
    assert len(keys) == len(gateway.orders) == 2


async def test_same_basket_id_returns_same_order(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        first = await kiosk.preview(MILK, basket_id="tuesday")
        again = await kiosk.preview(MILK, basket_id="tuesday")
        assert first.order_id == again.order_id
        with pytest.raises(Problem, match="idempotency_mismatch"):
            await kiosk.preview([Item("milk", 3)], basket_id="tuesday")


async def test_damaged_state_file_raises_value_error(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "n").write_text('{"device_id": "fri')
    with pytest.raises(ValueError, match="state file"):
        async with open_kiosk(gateway, tmp_path / "n"):
            pass


async def test_state_file_of_another_device_raises_value_error(gateway: FakeGateway, tmp_path: Path) -> None:
    async with Kiosk(gateway.url, "fridge-2", "correct horse battery", state_file=tmp_path / "n") as other:
        await other._save(other._state())
    with pytest.raises(ValueError, match="another device"):
        async with open_kiosk(gateway, tmp_path / "n"):
            pass


async def test_state_file_is_private_and_has_no_secret(gateway: FakeGateway, tmp_path: Path) -> None:
    async with open_kiosk(gateway, tmp_path / "n") as kiosk:
        await kiosk.preview(MILK)
    text = (tmp_path / "n").read_text()
    assert stat.S_IMODE((tmp_path / "n").stat().st_mode) == 0o600
    assert not any(secret in text for secret in ("correct horse", *gateway.tokens, *gateway.refresh_tokens))


def test_key_of_is_visible_ascii_and_differs_by_device_and_basket() -> None:
    keys = {key_of(device, basket) for device in ("a", "b") for basket in ("1", "2")}
    assert len(keys) == 4
    assert all(key.isascii() and key.isprintable() and len(key) <= 255 for key in keys)
