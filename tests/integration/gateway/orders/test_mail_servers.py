"""Mail servers with and without TLS, and broken ones: they affect no order and no other receipt."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from autogrocery.gateway.actions.send_receipt import send_receipt
from autogrocery.gateway.peers.mail import Mail
from autogrocery.gateway.store import orders, receipts
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.outbox import Outbox
from tests.harness.gateway_actions import add_device
from tests.harness.mail_server import serve_smtp

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.db import Row
    from tests.integration.gateway.orders.conftest import GatewayActions

ELSEWHERE = "127.0.0.2"  # this machine too, but not in LOOPBACK_HOSTS
DEADLINE_S = 1.5


class Postbox:
    """Acts by the recipient's name: `hang@…`, `drop@…`, replies 451 to the mail of `451@…`, and 450 to `rcpt450@…`."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.raw: list[bytes] = []
        self.under_tls: list[bool] = []
        self.logins = 0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        name = address.partition("@")[0]
        if name.startswith("rcpt"):
            return f"{name[4:]} no"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        name = envelope.rcpt_tos[0].partition("@")[0]
        if name == "hang":
            await asyncio.Event().wait()
        if name == "drop":
            server.transport.abort()
            return "250 not received"
        if name.isdigit():
            return f"{name} no"
        self.taken.append(str(message_from_bytes(envelope.content)["Message-ID"]))
        self.raw.append(envelope.content)
        self.under_tls.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the SSL context of a server, and of a client that trusts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    at = datetime.now(UTC)
    places = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(hours=1))
        .not_valid_after(at + timedelta(hours=1))
        .add_extension(places, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(secret + pem)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "both.pem")
    return server_side, ssl.create_default_context(cadata=pem.decode())


def make_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "m@mart.example", "kitchen@home.example", "<1@mart.example>"
    mail.set_content("hello")
    return mail


@pytest.mark.parametrize(("scheme", "how"), [("smtp", "tls_context"), ("smtps", "ssl_context")])
async def test_mail_is_sent_over_tls_if_the_server_offers_it(tmp_path: Path, scheme: str, how: str) -> None:
    server_side, client_side = certificate(tmp_path)
    box = Postbox()
    controller: dict[str, Any] = {how: server_side}
    with serve_smtp(box, **controller) as place:
        await Mail(f"{scheme}://{place}", tmp_path, tls=client_side).send(make_mail(), "1")
        with pytest.raises(Unavailable, match="mail_unavailable"):  # the certificate is not of a known CA
            await Mail(f"{scheme}://{place}", tmp_path).send(make_mail(), "2")
    assert box.under_tls == [True]


@pytest.mark.parametrize(("host", "taken"), [("127.0.0.1", 1), (ELSEWHERE, 0)])
async def test_password_is_sent_to_other_machines_over_tls_only(tmp_path: Path, host: str, taken: int) -> None:
    box = Postbox()

    def login(*_arguments: Any) -> Any:
        box.logins += 1
        return True

    with serve_smtp(box, host, auth_callback=login, auth_require_tls=False) as place:
        mail = Mail(f"smtp://mart:secret@{place}", tmp_path)
        if taken:
            await mail.send(make_mail(), "1")
        else:
            with pytest.raises(Unavailable, match="mail_unavailable"):
                await mail.send(make_mail(), "1")
    assert (len(box.taken), box.logins) == (taken, taken)


async def test_rejected_smtp_login_is_retried(tmp_path: Path) -> None:
    box = Postbox()
    with (
        serve_smtp(box, auth_callback=lambda *_arguments: False, auth_require_tls=False) as place,
        pytest.raises(Unavailable, match="mail_unavailable"),
    ):
        await Mail(f"smtp://mart:old@{place}", tmp_path).send(make_mail(), "1")
    assert box.taken == []


async def completed(gateway: GatewayActions, address: str) -> UUID:
    user_id = await add_device(gateway.db, address)
    await gateway.db.run("UPDATE smart_devices SET email = $2 WHERE id = $1", user_id, address)
    mine = replace(gateway, user_id=user_id)
    order = await mine.preview(milk=2)
    await mine.confirm(order.order_id)
    await mine.complete(order.order_id)
    return order.order_id


def relay(gateway: GatewayActions, mail: Mail) -> Outbox:
    async def deliver(row: Row) -> str | None:
        return await send_receipt(gateway.db, mail, row["order_id"], "mart-test")

    return Outbox(gateway.db, "receipt_outbox", ("order_id",), deliver, give_up_after_s=60)


OUTCOMES = {
    "hang": ("due", "mail_unavailable"),
    "drop": ("due", "mail_unavailable"),
    "451": ("due", "mail_deferred"),
    "554": ("dead", "mail_refused"),
    "rcpt450": ("due", "mail_deferred"),
    "rcpt550": ("dead", "mail_refused"),
    "kitchen": ("done", None),
    "cellar": ("done", None),
}


async def test_failed_receipt_affects_no_order_and_no_other_receipt(gateway: GatewayActions, tmp_path: Path) -> None:
    made = {name: await completed(gateway, f"{name}@home.example") for name in OUTCOMES}
    before = {name: await orders.get(gateway.db, order_id) for name, order_id in made.items()}
    box = Postbox()
    with serve_smtp(box) as place:
        await relay(gateway, Mail(f"smtp://{place}", tmp_path, deadline_s=DEADLINE_S)).relay()
    found = {
        one.order_id: (one.state, one.reason)
        for one in await receipts.list_receipts(gateway.db, dead_only=False, limit=99)
    }
    assert {name: found[order_id] for name, order_id in made.items()} == OUTCOMES
    after = {name: await orders.get(gateway.db, order_id) for name, order_id in made.items()}
    assert {name: order and replace(order, overdue=False) for name, order in after.items()} == {
        name: order and replace(order, overdue=False) for name, order in before.items()
    }
    assert sorted(box.taken) == sorted(f"<{made[name]}@autogrocery.invalid>" for name in ("kitchen", "cellar"))


async def test_dead_receipt_is_listed_and_replayed_once(gateway: GatewayActions, tmp_path: Path) -> None:
    order_id, other = await completed(gateway, "554@home.example"), await completed(gateway, "rcpt550@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        outbox = relay(gateway, Mail(f"smtp://{place}", tmp_path))
        await outbox.relay()
        assert {one.order_id for one in await receipts.list_receipts(gateway.db, dead_only=True, limit=9)} == {
            order_id,
            other,
        }
        assert await receipts.count_dead(gateway.db) == {"receipts": 2, "alerts": 0}
        await gateway.db.run("UPDATE smart_devices SET email = 'kitchen@home.example'")
        await gateway.db.run("UPDATE receipt_outbox SET created_at = now() - interval '2 days'")
        assert await receipts.replay(gateway.db, [order_id]) == 1
        assert await receipts.replay(gateway.db, [order_id]) == 0
        await outbox.relay()
        assert await receipts.replay(gateway.db) == 1
        await outbox.relay()
        assert await receipts.replay(gateway.db) == 0
    assert sorted(box.taken) == sorted(f"<{one}@autogrocery.invalid>" for one in (order_id, other))
    assert await receipts.count_dead(gateway.db) == {"receipts": 0, "alerts": 0}


async def test_replayed_receipt_is_retried_for_24_hours_again(gateway: GatewayActions, tmp_path: Path) -> None:
    await completed(gateway, "554@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        outbox = relay(gateway, Mail(f"smtp://{place}", tmp_path))
        await outbox.relay()
        await gateway.db.run("UPDATE receipt_outbox SET created_at = now() - interval '2 days'")
        await gateway.db.run("UPDATE smart_devices SET email = '451@home.example'")
        await receipts.replay(gateway.db)
        await outbox.relay()
    (one,) = await receipts.list_receipts(gateway.db, dead_only=False, limit=9)
    assert (one.state, one.reason) == ("due", "mail_deferred")


async def test_receipt_sent_twice_is_the_same_bytes(gateway: GatewayActions, tmp_path: Path) -> None:
    await completed(gateway, "kitchen@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        for _ in range(2):
            await gateway.db.run("UPDATE receipt_outbox SET done_at = NULL, next_attempt_at = now()")
            await relay(gateway, Mail(f"smtp://{place}", tmp_path)).relay()
    first, second = box.raw
    assert first == second
