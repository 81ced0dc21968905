"""Receipts of completed orders through a real SMTP server or as files, without affecting the order."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.kit.messages.smtp_url import parse_smtp_url
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.ports import free_ports
from tests.harness.mail_server import serve_smtp
from tests.harness.notifier import mail_into, mail_to, receipts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.outbox import Outbox
    from autogrocery.notifier.peers.mail import Mail
    from tests.integration.notifier.conftest import GatewayActions


class Postbox:
    """An SMTP server's mailbox; answers with `refuse` if it is set."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = ""

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, str]]:
    box = Postbox()
    with serve_smtp(box) as place:
        yield box, f"smtp://{place}"


async def completed(gateway: GatewayActions, email: str | None) -> UUID:
    await gateway.db.run("UPDATE smart_devices SET email = $1", email)
    order = await gateway.preview(milk=2, bread=3)
    await gateway.confirm(order.order_id)
    await gateway.complete(order.order_id, picked={"milk": 2, "bread": 1})
    return order.order_id


def relay(gateway: GatewayActions, mail: Mail) -> Outbox:
    return receipts_of(gateway.db, mail)


async def rows(gateway: GatewayActions) -> list[tuple[bool, bool, int, str | None]]:
    found = await gateway.db.rows("SELECT * FROM receipt_outbox")
    return [
        (row["done_at"] is not None, row["dead_at"] is not None, row["attempts"], row["last_error"]) for row in found
    ]


async def test_partial_receipt_shows_ordered_units_and_charged_total(
    gateway: GatewayActions,
    postbox: tuple[Postbox, str],
) -> None:
    box, url = postbox
    order_id = await completed(gateway, "kitchen@home.example")
    outbox = relay(gateway, mail_to(url))
    await outbox.relay()
    await outbox.relay()
    (mail,) = box.mails
    assert (mail["To"], mail["Message-ID"]) == ("kitchen@home.example", f"<{order_id}@autogrocery.invalid>")
    text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert re.search(r"Bread \[bread\]\n +1 x 2.49 USD \(3 ordered\) +2.49 USD\n", text)
    assert re.search(r"Quoted +10.05 USD\nTotal, charged +5.07 USD\n", text)
    assert await rows(gateway) == [(True, False, 1, None)]


async def test_4yz_reply_is_retried_and_5yz_makes_the_receipt_dead(
    gateway: GatewayActions,
    postbox: tuple[Postbox, str],
) -> None:
    box, url = postbox
    await completed(gateway, "kitchen@home.example")
    outbox = relay(gateway, mail_to(url))
    box.refuse = "451 try later"
    await outbox.relay()
    assert (await rows(gateway))[0][:3] == (False, False, 1)
    box.refuse = "554 never"
    await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now()")
    await outbox.relay()
    assert await rows(gateway) == [(False, True, 2, "mail_refused")]


async def test_unreachable_server_is_retried_until_given_up(gateway: GatewayActions) -> None:
    await completed(gateway, "kitchen@home.example")
    (port,) = free_ports(1)
    mail = mail_to(f"smtp://127.0.0.1:{port}")
    await relay(gateway, mail).relay()
    assert (await rows(gateway))[0][:3] == (False, False, 1)
    await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now(), created_at = now() - interval '25 hours'")
    await relay(gateway, mail).relay()
    assert await rows(gateway) == [(False, True, 2, "gave_up")]


async def test_receipt_without_server_is_a_private_file(gateway: GatewayActions, tmp_path: Path) -> None:
    order_id = await completed(gateway, "kitchen@home.example")
    await relay(gateway, mail_into(tmp_path / "receipts")).relay()
    (file,) = (tmp_path / "receipts").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"{order_id}.eml", 0o600)
    mail: Any = message_from_bytes(file.read_bytes(), policy=default)
    assert "5.07 USD" in mail.get_body(("plain",)).get_content()


@pytest.mark.parametrize("email", [None, "x@y\nBcc: all@example.org"])
async def test_missing_or_malformed_address_sends_no_mail(
    gateway: GatewayActions, postbox: tuple[Postbox, str], email: str | None
) -> None:
    box, url = postbox
    await completed(gateway, email)
    await relay(gateway, mail_to(url)).relay()
    assert box.mails == []
    assert (await rows(gateway))[0][0] is (email is None)


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://x:port", "mail.example"])
def test_malformed_smtp_url_raises_naming_the_variable(url: str) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL"):
        parse_smtp_url(url)
