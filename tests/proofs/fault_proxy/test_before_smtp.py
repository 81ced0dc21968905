"""A mail server behind bad weather: receipts wait and are sent; twice at most where an answer got lost, as the same mail."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller

from autogrocery.gateway.actions.send_receipt import send_receipt
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import order_loops
from autogrocery.gateway.peers.mail import DEADLINE_S, TIMEOUT_S, Mail
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.kit.pg.connect import CONNECT_TIMEOUT_S
from autogrocery.kit.pg.outbox import AT_ONCE, Outbox
from autogrocery.lab.fault_proxy import CALM, FaultProxy, Weather, open_proxy
from autogrocery.lab.ports import free_ports
from tests.harness.gateway_actions import House, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Row

IMPATIENCE_S = 2.0
STORMS = {
    "reset in the greeting": Weather(reset_after_bytes=10),
    "reset in the letter": Weather(reset_after_bytes=500),
    "swallowed": Weather(swallow_replies=True),
    "a black hole": Weather(black_hole=True),
    "half closed": Weather(half_close=True),
    "refused": Weather(refuse=True),
}


class Postbox:
    """Takes mail; with `after_data` set, brings that weather before it says so."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.mails: list[Any] = []
        self.after_data: Weather | None = None
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        if self.after_data is not None:  # this is the server's thread
            asyncio.run_coroutine_threadsafe(self._change(self.after_data), self._loop).result(IMPATIENCE_S)
        return "250 OK"

    async def _change(self, weather: Weather) -> None:
        self._proxy.weather = weather


@asynccontextmanager
async def open_postbox() -> AsyncIterator[tuple[Postbox, FaultProxy]]:
    (port,) = free_ports(1)
    async with open_proxy(("127.0.0.1", port)) as proxy:
        box = Postbox(proxy)
        server = Controller(box, hostname="127.0.0.1", port=port)
        await asyncio.to_thread(server.start)
        yield box, proxy
        proxy.reset_all()
        await asyncio.to_thread(server.stop)


async def completed(house: House) -> UUID:
    await house.db.run("UPDATE smart_devices SET email = 'kitchen@home.example'")
    order = await house.preview(milk=2)
    await house.confirm(order.order_id)
    await house.complete(order.order_id)
    return order.order_id


def relay(house: House, proxy: FaultProxy, folder: Path) -> Outbox:
    mail = Mail(f"smtp://127.0.0.1:{proxy.port}", folder, deadline_s=IMPATIENCE_S)

    async def deliver(row: Row) -> None:
        await send_receipt(house.db, mail, row["order_id"], "mart-test")

    return Outbox(house.db, "receipt_outbox", ("order_id",), deliver)


async def standing(house: House) -> tuple[bool, bool, int]:
    row = await house.db.row("SELECT * FROM receipt_outbox")
    assert row is not None
    return row["done_at"] is not None, row["dead_at"] is not None, row["attempts"]


async def again(house: House, outbox: Outbox) -> None:
    await house.db.run("UPDATE receipt_outbox SET next_attempt_at = now()")
    await outbox.relay()


@pytest.mark.parametrize("storm", STORMS)
async def test_a_receipt_waits_for_better_weather(gateway_db: Db, tmp_path: Path, storm: str) -> None:
    async with open_house(gateway_db) as house, open_postbox() as (box, proxy):
        await completed(house)
        outbox = relay(house, proxy, tmp_path)
        proxy.weather = STORMS[storm]
        await outbox.relay()
        assert await standing(house) == (False, False, 1)
        assert box.mails == []
        proxy.weather = CALM
        await again(house, outbox)
        await again(house, outbox)
        assert await standing(house) == (True, False, 2)
        assert len(box.mails) == 1


@pytest.mark.parametrize("weather", [Weather(latency_s=0.02, jitter_s=0.02), Weather(slice_bytes=1)])
async def test_a_receipt_passes_slowly_and_in_slices(gateway_db: Db, tmp_path: Path, weather: Weather) -> None:
    async with open_house(gateway_db) as house, open_postbox() as (box, proxy):
        order_id = await completed(house)
        proxy.weather = weather
        await relay(house, proxy, tmp_path).relay()
        assert await standing(house) == (True, False, 1)
        (mail,) = box.mails
        assert mail["Message-ID"] == f"<{order_id}@autogrocery.invalid>"
        assert "2.58 USD" in mail.get_body(("plain",)).get_content()


@pytest.mark.parametrize("weather", [Weather(swallow_replies=True), Weather(reset_after_bytes=0)])
async def test_a_receipt_taken_without_a_word_is_sent_twice_at_most_as_the_same_mail(
    gateway_db: Db, tmp_path: Path, weather: Weather
) -> None:
    async with open_house(gateway_db) as house, open_postbox() as (box, proxy):
        order_id = await completed(house)
        outbox = relay(house, proxy, tmp_path)
        box.after_data = weather
        begun = time.monotonic()
        await outbox.relay()
        assert time.monotonic() - begun < TIMEOUT_S  # the deadline is over all of it, a farewell included
        assert await standing(house) == (False, False, 1)
        box.after_data, proxy.weather = None, CALM
        await again(house, outbox)
        await again(house, outbox)
        assert await standing(house) == (True, False, 2)
        assert [mail["Message-ID"] for mail in box.mails] == [f"<{order_id}@autogrocery.invalid>"] * 2


async def test_a_batch_of_receipts_ends_within_its_lease_however_slow_the_server(
    gateway_db: Db, tmp_path: Path
) -> None:
    """Else another gateway claims, and sends, what this one is still about to send."""
    settings = GatewaySettings(database_url="", jwt_secret="", robot_jwt_secret="", webhook_secret="")
    async with open_house(gateway_db) as house:
        deps = Deps(settings, house.db, house.inventory, house.pricing, house.metrics, Mail("", tmp_path))
        (receipts,) = (loop for loop in order_loops(deps) if loop.name == "receipts")
        outbox = receipts._verb.__self__
        assert isinstance(outbox, Outbox)
        rounds = -(-outbox._batch // AT_ONCE)
        assert rounds * (DEADLINE_S + CONNECT_TIMEOUT_S) < outbox._lease_s
