"""The receipt of a completed order: one mail by its Message-ID, whatever the mail server says or keeps to itself."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from typing import TYPE_CHECKING, Any, Final

import pytest

from autogrocery.gateway.actions.send_receipt import send_receipt
from autogrocery.gateway.peers.mail import Mail
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process.faults import Fault, Mode, arm
from autogrocery.lab.ports import free_ports
from tests.harness.mail_server import serve_postbox
from tests.proofs.battery.stage import trace
from tests.proofs.battery.states import MAKERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.db import Row
    from tests.harness.gateway_actions import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATES: Final = ("completed", "completed_short")


class Postbox:
    """Takes mail; answers `says` after it has taken it or (`before`) instead of taking it."""

    def __init__(self) -> None:
        self.message_ids: list[str] = []
        self.says = "250 OK"
        self.before = True

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        if self.says.startswith("250") or not self.before:
            self.message_ids.append(str(message_from_bytes(envelope.content)["Message-ID"]))
        return self.says


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, Mail]]:
    box = Postbox()
    with serve_postbox(box) as place:
        yield box, Mail(f"smtp://{place}", None)  # type: ignore[arg-type]


def relay(house: House, mail: Mail) -> Outbox:
    async def deliver(row: Row) -> None:
        await send_receipt(house.db, mail, row["order_id"], "mart-test")

    return Outbox(house.db, "receipt_outbox", ("order_id",), deliver)


async def finished(house: House, state: str) -> UUID:
    await house.db.run("UPDATE smart_devices SET email = 'kitchen@home.example' WHERE id = $1", house.user_id)
    return await MAKERS[state](house)


async def stands(house: House, order_id: UUID) -> str:
    row = await house.db.row("SELECT * FROM receipt_outbox WHERE order_id = $1", order_id)
    assert row is not None
    return "done" if row["done_at"] else "buried" if row["dead_at"] else "due"


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("state", STATES)
async def test_a_receipt_relayed_twice_is_one_mail(
    house: House, postbox: tuple[Postbox, Mail], state: str, *, at_once: bool
) -> None:
    box, mail = postbox
    order_id = await finished(house, state)
    before = await trace(house, order_id)
    if at_once:
        await asyncio.gather(relay(house, mail).relay(), relay(house, mail).relay())
    else:
        await relay(house, mail).relay()
        await relay(house, mail).relay()
    assert (box.message_ids, await stands(house, order_id)) == ([f"<{order_id}@autogrocery.invalid>"], "done")
    assert await trace(house, order_id) == before


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(
    ("says", "stood"),
    [("451 later", "due"), ("421 going down", "due"), ("552 full", "buried"), ("554 never", "buried")],
)
async def test_a_refused_receipt_waits_or_is_buried_and_costs_the_order_nothing(
    house: House, postbox: tuple[Postbox, Mail], says: str, stood: str, *, before: bool
) -> None:
    box, mail = postbox
    box.says, box.before = says, before
    order_id = await finished(house, "completed")
    unchanged = await trace(house, order_id)
    await relay(house, mail).relay()
    assert await stands(house, order_id) == stood
    box.says = "250 OK"
    await _later(house, order_id, relay(house, mail))
    assert await stands(house, order_id) == ("done" if stood == "due" else "buried")
    assert set(box.message_ids) <= {f"<{order_id}@autogrocery.invalid>"}
    assert await trace(house, order_id) == unchanged


@pytest.mark.parametrize("mode", [Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR])
async def test_a_receipt_in_doubt_is_sent_again_as_the_same_mail(
    house: House, postbox: tuple[Postbox, Mail], mode: Mode
) -> None:
    box, mail = postbox
    order_id = await finished(house, "completed")
    with arm(Fault("mail.send", mode)):
        await relay(house, mail).relay()
    assert await stands(house, order_id) == "due"
    await _later(house, order_id, relay(house, mail))
    assert await stands(house, order_id) == "done"
    assert len(box.message_ids) == (2 if mode is Mode.EFFECT_THEN_ERROR else 1)
    assert set(box.message_ids) == {f"<{order_id}@autogrocery.invalid>"}


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def _later(house: House, order_id: UUID, outbox: Outbox) -> None:
    await house.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE order_id = $1", order_id)
    await outbox.relay()


async def test_a_mail_server_that_is_not_there_is_asked_again(house: House, tmp_path: Path) -> None:
    order_id = await finished(house, "completed")
    (port,) = free_ports(1)
    await relay(house, Mail(f"smtp://127.0.0.1:{port}", tmp_path)).relay()
    assert await stands(house, order_id) == "due"
    for _ in range(2):
        await _later(house, order_id, relay(house, Mail("", tmp_path)))
        assert names(tmp_path) == [f"{order_id}.eml"]
    assert await stands(house, order_id) == "done"
