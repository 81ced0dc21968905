"""Network faults before a mail server: receipts are retried; after a lost reply sent twice at most, with one
Message-ID."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.kit.pg.connect import CONNECT_TIMEOUT_S
from autogrocery.lab.fault_proxy import NO_FAULTS, FaultProxy, NetworkFaults, open_proxy
from autogrocery.lab.ports import free_ports
from autogrocery.notifier import loops
from autogrocery.notifier.peers.mail import DEADLINE_S
from tests.harness.gateway_actions import GatewayActions, open_gateway_actions
from tests.harness.mail_server import Mailbox, serve_smtp
from tests.harness.notifier import mail_to, receipts_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.pg.outbox import Outbox

MAIL_TIMEOUT_S = 2.0
FAULTS = {
    "reset in the greeting": NetworkFaults(reset_after_bytes=10),
    "reset in the message": NetworkFaults(reset_after_bytes=500),
    "swallowed": NetworkFaults(swallow_replies=True),
    "blocked": NetworkFaults(black_hole=True),
    "half closed": NetworkFaults(half_close=True),
    "refused": NetworkFaults(refuse=True),
}


class ProxiedMailbox(Mailbox):
    """Keeps mail; if `faults_after_data` is set, sets these faults before it replies to a message."""

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__()
        self.faults_after_data: NetworkFaults | None = None
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        reply = await super().handle_DATA(server, session, envelope)
        if self.faults_after_data is not None:  # the handler runs in the server's thread
            asyncio.run_coroutine_threadsafe(self._change(self.faults_after_data), self._loop).result(MAIL_TIMEOUT_S)
        return reply

    async def _change(self, faults: NetworkFaults) -> None:
        self._proxy.faults = faults


@asynccontextmanager
async def serve_proxied_mailbox() -> AsyncIterator[tuple[ProxiedMailbox, FaultProxy]]:
    (port,) = free_ports(1)
    async with open_proxy(("127.0.0.1", port)) as proxy:
        box = ProxiedMailbox(proxy)
        server = ExitStack()
        await asyncio.to_thread(server.enter_context, serve_smtp(box, port=port))
        yield box, proxy
        proxy.reset_all()
        await asyncio.to_thread(server.close)


async def completed(gateway: GatewayActions) -> UUID:
    await gateway.db.run("UPDATE smart_devices SET email = 'kitchen@home.example'")
    order = await gateway.preview(milk=2)
    await gateway.confirm(order.order_id)
    await gateway.complete(order.order_id)
    return order.order_id


def relay(gateway: GatewayActions, proxy: FaultProxy) -> Outbox:
    return receipts_of(gateway.db, mail_to(f"smtp://127.0.0.1:{proxy.port}", deadline_s=MAIL_TIMEOUT_S))


async def outbox_row(gateway: GatewayActions) -> tuple[bool, bool, int]:
    row = await gateway.db.row("SELECT * FROM receipt_outbox")
    assert row is not None
    return row["done_at"] is not None, row["dead_at"] is not None, row["attempts"]


async def relay_again(gateway: GatewayActions, outbox: Outbox) -> None:
    await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now()")
    await outbox.relay()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_receipt_is_retried_after_a_network_fault(gateway_db: Db, fault: str) -> None:
    async with open_gateway_actions(gateway_db) as gateway, serve_proxied_mailbox() as (box, proxy):
        await completed(gateway)
        outbox = relay(gateway, proxy)
        proxy.faults = FAULTS[fault]
        await outbox.relay()
        assert await outbox_row(gateway) == (False, False, 1)
        assert box.messages == []
        proxy.faults = NO_FAULTS
        await relay_again(gateway, outbox)
        await relay_again(gateway, outbox)
        assert await outbox_row(gateway) == (True, False, 2)
        assert len(box.messages) == 1


@pytest.mark.parametrize("faults", [NetworkFaults(latency_s=0.02, jitter_s=0.02), NetworkFaults(slice_bytes=1)])
async def test_a_receipt_is_sent_slowly_and_in_slices(gateway_db: Db, faults: NetworkFaults) -> None:
    async with open_gateway_actions(gateway_db) as gateway, serve_proxied_mailbox() as (box, proxy):
        order_id = await completed(gateway)
        proxy.faults = faults
        await relay(gateway, proxy).relay()
        assert await outbox_row(gateway) == (True, False, 1)
        (mail,) = box.messages
        assert mail["Message-ID"] == f"<{order_id}@autogrocery.invalid>"
        assert "2.58 USD" in mail.get_body(("plain",)).get_content()


@pytest.mark.parametrize("faults", [NetworkFaults(swallow_replies=True), NetworkFaults(reset_after_bytes=0)])
async def test_an_accepted_receipt_without_a_reply_is_sent_twice_at_most_with_one_message_id(
    gateway_db: Db, faults: NetworkFaults
) -> None:
    async with open_gateway_actions(gateway_db) as gateway, serve_proxied_mailbox() as (box, proxy):
        order_id = await completed(gateway)
        outbox = relay(gateway, proxy)
        box.faults_after_data = faults
        begun = time.monotonic()
        await outbox.relay()
        assert time.monotonic() - begun < 2 * MAIL_TIMEOUT_S  # the deadline covers the whole session
        assert await outbox_row(gateway) == (False, False, 1)
        box.faults_after_data, proxy.faults = None, NO_FAULTS
        await relay_again(gateway, outbox)
        await relay_again(gateway, outbox)
        assert await outbox_row(gateway) == (True, False, 2)
        assert [mail["Message-ID"] for mail in box.messages] == [f"<{order_id}@autogrocery.invalid>"] * 2


async def test_a_delivery_that_has_begun_ends_within_its_lease_with_the_slowest_server() -> None:
    """Otherwise another notifier claims and sends what this one is still about to send."""
    assert loops.BEGIN_WITHIN_S > CONNECT_TIMEOUT_S
    assert loops.BEGIN_WITHIN_S + DEADLINE_S < loops.LEASE_S
