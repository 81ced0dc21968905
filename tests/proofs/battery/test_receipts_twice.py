"""The receipt of a completed order has one Message-ID, whatever the mail server answers or does not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from autogrocery.kit.process.faults import Fault, Mode, arm
from autogrocery.lab.ports import free_ports
from tests.harness.mail_server import Mailbox, serve_smtp
from tests.harness.notifier import mail_into, mail_to, receipts_of
from tests.proofs.battery.environment import snapshot
from tests.proofs.battery.states import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.outbox import Outbox
    from autogrocery.notifier.peers.mail import Mail
    from tests.harness.gateway_actions import GatewayActions

pytestmark = pytest.mark.asyncio(loop_scope="module")
COMPLETED: Final = ("completed", "completed_short")


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, Mail]]:
    box = Mailbox()
    with serve_smtp(box) as address:
        yield box, mail_to(f"smtp://{address}")


def relay(gateway: GatewayActions, mail: Mail) -> Outbox:
    return receipts_of(gateway.db, mail)


async def finished_with_contact(gateway: GatewayActions, state: str) -> UUID:
    await gateway.db.run("UPDATE smart_devices SET email = 'kitchen@home.example' WHERE id = $1", gateway.user_id)
    return await STATES[state](gateway)


async def outbox_state(gateway: GatewayActions, order_id: UUID) -> str:
    row = await gateway.db.row("SELECT * FROM receipt_outbox WHERE order_id = $1", order_id)
    assert row is not None
    return "done" if row["done_at"] else "buried" if row["dead_at"] else "due"


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("state", COMPLETED)
async def test_a_receipt_relayed_twice_is_one_mail(
    gateway: GatewayActions, mailbox: tuple[Mailbox, Mail], state: str, *, at_once: bool
) -> None:
    box, mail = mailbox
    order_id = await finished_with_contact(gateway, state)
    before = await snapshot(gateway, order_id)
    if at_once:
        await asyncio.gather(relay(gateway, mail).relay(), relay(gateway, mail).relay())
    else:
        await relay(gateway, mail).relay()
        await relay(gateway, mail).relay()
    assert (box.message_ids, await outbox_state(gateway, order_id)) == ([f"<{order_id}@autogrocery.invalid>"], "done")
    assert await snapshot(gateway, order_id) == before


@pytest.mark.parametrize("keeps_rejected", [False, True])
@pytest.mark.parametrize(
    ("reply", "state_after"),
    [("451 later", "due"), ("421 going down", "due"), ("552 full", "buried"), ("554 never", "buried")],
)
async def test_a_refused_receipt_is_retried_or_buried_and_leaves_the_order_unchanged(
    gateway: GatewayActions, mailbox: tuple[Mailbox, Mail], reply: str, state_after: str, *, keeps_rejected: bool
) -> None:
    box, mail = mailbox
    box.reply, box.keeps_rejected = reply, keeps_rejected
    order_id = await finished_with_contact(gateway, "completed")
    unchanged = await snapshot(gateway, order_id)
    await relay(gateway, mail).relay()
    assert await outbox_state(gateway, order_id) == state_after
    box.reply = "250 OK"
    await _later(gateway, order_id, relay(gateway, mail))
    assert await outbox_state(gateway, order_id) == ("done" if state_after == "due" else "buried")
    assert set(box.message_ids) <= {f"<{order_id}@autogrocery.invalid>"}
    assert await snapshot(gateway, order_id) == unchanged


@pytest.mark.parametrize("mode", [Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR])
async def test_a_receipt_in_doubt_is_sent_again_with_the_same_message_id(
    gateway: GatewayActions, mailbox: tuple[Mailbox, Mail], mode: Mode
) -> None:
    box, mail = mailbox
    order_id = await finished_with_contact(gateway, "completed")
    with arm(Fault("mail.send", mode)):
        await relay(gateway, mail).relay()
    assert await outbox_state(gateway, order_id) == "due"
    await _later(gateway, order_id, relay(gateway, mail))
    assert await outbox_state(gateway, order_id) == "done"
    assert len(box.message_ids) == (2 if mode is Mode.EFFECT_THEN_ERROR else 1)
    assert set(box.message_ids) == {f"<{order_id}@autogrocery.invalid>"}


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def _later(gateway: GatewayActions, order_id: UUID, outbox: Outbox) -> None:
    await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE order_id = $1", order_id)
    await outbox.relay()


async def test_an_unreachable_mail_server_is_retried(gateway: GatewayActions, tmp_path: Path) -> None:
    order_id = await finished_with_contact(gateway, "completed")
    (port,) = free_ports(1)
    await relay(gateway, mail_to(f"smtp://127.0.0.1:{port}")).relay()
    assert await outbox_state(gateway, order_id) == "due"
    for _ in range(2):
        await _later(gateway, order_id, relay(gateway, mail_into(tmp_path)))
        assert names(tmp_path) == [f"{order_id}.eml"]
    assert await outbox_state(gateway, order_id) == "done"
