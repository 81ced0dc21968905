"""Mail servers with and without TLS, and broken ones: they affect no order and no other receipt."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from autogrocery.contracts.alerts import AlertPreference
from autogrocery.gateway.actions.change_contact import change_contact
from autogrocery.gateway.store import orders, receipts
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.ids import uuid7
from autogrocery.kit.messages.mail_address import parse_mail_address
from autogrocery.notifier.core.receipt_mail import ReceiptMail
from tests.harness.gateway_actions import add_device
from tests.harness.mail_server import serve_smtp
from tests.harness.notifier import SENDER, mail_into, mail_to, receipts_of
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.outbox import Outbox
    from autogrocery.notifier.peers.mail import Mail
    from tests.integration.notifier.conftest import GatewayActions

ELSEWHERE = "127.0.0.2"  # this machine too, but not in LOOPBACK_HOSTS
DEADLINE_S = 1.5


class AddressBook:
    """Keeps the recipients of each mail, as SMTP names them, and its To field."""

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.to_fields: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.recipients += envelope.rcpt_tos
        (to,) = (line for line in envelope.content.splitlines() if line.startswith(b"To:"))
        self.to_fields.append(to.decode())
        return "250 OK"


class SlowRefusal(AddressBook):
    """Refuses `slow550@…`, but not before `answer` is set; `asked` is set meanwhile. The server has its own thread."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answer = threading.Event(), threading.Event()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address.startswith("slow550"):
            self.asked.set()
            await asyncio.to_thread(self.answer.wait, 10)
            return "550 no"
        envelope.rcpt_tos.append(address)
        return "250 OK"


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


def make_mail(to: str = "kitchen@home.example", name: str = "1") -> ReceiptMail:
    content = f"From: {SENDER}\r\nTo: {to}\r\nMessage-ID: <{name}@mart.example>\r\n\r\nhello\r\n"
    return ReceiptMail(name, SENDER, parse_mail_address(to), content.encode())


@pytest.mark.parametrize(("scheme", "how"), [("smtp", "tls_context"), ("smtps", "ssl_context")])
async def test_mail_is_sent_over_tls_if_the_server_offers_it(tmp_path: Path, scheme: str, how: str) -> None:
    server_side, client_side = certificate(tmp_path)
    box = Postbox()
    controller: dict[str, Any] = {how: server_side}
    with serve_smtp(box, **controller) as place:
        await mail_to(f"{scheme}://{place}", tls=client_side).send(make_mail())
        with pytest.raises(Unavailable, match="mail_unavailable"):  # the certificate is not of a known CA
            await mail_to(f"{scheme}://{place}").send(make_mail())
    assert box.under_tls == [True]


@pytest.mark.parametrize(("host", "taken"), [("127.0.0.1", 1), (ELSEWHERE, 0)])
async def test_password_is_sent_to_other_machines_over_tls_only(host: str, taken: int) -> None:
    box = Postbox()

    def login(*_arguments: Any) -> Any:
        box.logins += 1
        return True

    with serve_smtp(box, host, auth_callback=login, auth_require_tls=False) as place:
        mail = mail_to(f"smtp://mart:secret@{place}")
        if taken:
            await mail.send(make_mail())
        else:
            with pytest.raises(Unavailable, match="mail_unavailable"):
                await mail.send(make_mail())
    assert (len(box.taken), box.logins) == (taken, taken)


async def test_rejected_smtp_login_is_retried() -> None:
    box = Postbox()
    with (
        serve_smtp(box, auth_callback=lambda *_arguments: False, auth_require_tls=False) as place,
        pytest.raises(Unavailable, match="mail_unavailable"),
    ):
        await mail_to(f"smtp://mart:old@{place}").send(make_mail())
    assert box.taken == []


async def completed(gateway: GatewayActions, address: str) -> UUID:
    user_id = await add_device(gateway.db, uuid7().hex)  # a device id can't have every address
    await gateway.db.run("UPDATE smart_devices SET email = $2 WHERE id = $1", user_id, address)
    mine = replace(gateway, user_id=user_id)
    order = await mine.preview(milk=2)
    await mine.confirm(order.order_id)
    await mine.complete(order.order_id)
    return order.order_id


def relay(gateway: GatewayActions, mail: Mail) -> Outbox:
    return receipts_of(gateway.db, mail)


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


async def test_failed_receipt_affects_no_order_and_no_other_receipt(gateway: GatewayActions) -> None:
    made = {name: await completed(gateway, f"{name}@home.example") for name in OUTCOMES}
    before = {name: await orders.get(gateway.db, order_id) for name, order_id in made.items()}
    box = Postbox()
    with serve_smtp(box) as place:
        await relay(gateway, mail_to(f"smtp://{place}", deadline_s=DEADLINE_S)).relay()
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


async def test_dead_receipt_is_listed_and_replayed_once(gateway: GatewayActions) -> None:
    order_id, other = await completed(gateway, "554@home.example"), await completed(gateway, "rcpt550@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        outbox = relay(gateway, mail_to(f"smtp://{place}"))
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


async def test_replayed_receipt_is_retried_for_24_hours_again(gateway: GatewayActions) -> None:
    await completed(gateway, "554@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        outbox = relay(gateway, mail_to(f"smtp://{place}"))
        await outbox.relay()
        await gateway.db.run("UPDATE receipt_outbox SET created_at = now() - interval '2 days'")
        await gateway.db.run("UPDATE smart_devices SET email = '451@home.example'")
        await receipts.replay(gateway.db)
        await outbox.relay()
    (one,) = await receipts.list_receipts(gateway.db, dead_only=False, limit=9)
    assert (one.state, one.reason) == ("due", "mail_deferred")


async def test_receipt_sent_twice_is_the_same_bytes(gateway: GatewayActions) -> None:
    await completed(gateway, "kitchen@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        for _ in range(2):
            await gateway.db.run("UPDATE receipt_outbox SET done_at = NULL, next_attempt_at = now()")
            await relay(gateway, mail_to(f"smtp://{place}")).relay()
    first, second = box.raw
    assert first == second


async def states(gateway: GatewayActions) -> dict[UUID, tuple[str, str | None]]:
    found = await receipts.list_receipts(gateway.db, dead_only=False, limit=99)
    return {one.order_id: (one.state, one.reason) for one in found}


async def owner(gateway: GatewayActions, order_id: UUID) -> int:
    found = await gateway.db.rows("SELECT user_id FROM grocery_orders WHERE order_id = $1", order_id)
    return int(found[0]["user_id"])


@pytest.mark.parametrize("takes_utf8", [True, False])
async def test_name_beyond_ascii_is_sent_or_dead_at_once(gateway: GatewayActions, takes_utf8: bool) -> None:
    utf8, labels = await completed(gateway, "jörg@home.example"), await completed(gateway, "anna@bücher.example")
    box = AddressBook()
    with serve_smtp(box, enable_SMTPUTF8=takes_utf8) as place:
        await relay(gateway, mail_to(f"smtp://{place}")).relay()
    outcome = ("done", None) if takes_utf8 else ("dead", "smtputf8_unsupported")
    assert await states(gateway) == {utf8: outcome, labels: ("done", None)}
    sent = ["anna@xn--bcher-kva.example", *(["jörg@home.example"] if takes_utf8 else [])]
    assert sorted(box.recipients) == sent
    assert sorted(box.to_fields) == [f"To: {one}" for one in sent]


async def test_name_beyond_ascii_is_written_into_a_file(gateway: GatewayActions, tmp_path: Path) -> None:
    order_id = await completed(gateway, "jörg@bücher.example")
    await relay(gateway, mail_into(tmp_path)).relay()
    assert "To: jörg@xn--bcher-kva.example\r\n".encode() in (tmp_path / f"{order_id}.eml").read_bytes()


OLD_ROWS = ("anna@example.com,", "<anna@example.com>", "anna.@example.com", "", "\U0001f95b" * 200)


async def test_receipts_of_a_mended_address_are_sent_and_no_others(gateway: GatewayActions) -> None:
    made = [await completed(gateway, email) for email in OLD_ROWS]
    other = await completed(gateway, "554@home.example")
    box = Postbox()
    with serve_smtp(box) as place:
        outbox = relay(gateway, mail_to(f"smtp://{place}"))
        await outbox.relay()
        dead = dict.fromkeys(made, ("dead", "bad_address")) | {other: ("dead", "mail_refused")}
        assert await states(gateway) == dead
        await gateway.db.run("UPDATE receipt_outbox SET created_at = now() - interval '9 days'")
        user_id = await owner(gateway, made[0])
        for change in ({"phone": "+15550001111"}, {"email": None}, {"alerts": AlertPreference.ALL}):
            changed = await change_contact(gateway.db, user_id, **change)  # type: ignore[arg-type]
            assert (changed.receipts, changed.alerts) == (0, 0)
        mended = await change_contact(gateway.db, user_id, email="anna@home.example")
        assert (mended.receipts, mended.alerts) == (1, 0)
        assert (await change_contact(gateway.db, user_id, email="anna@home.example")).receipts == 0  # the same one
        await outbox.relay()
    assert await states(gateway) == dead | {made[0]: ("done", None)}
    assert box.taken == [f"<{made[0]}@autogrocery.invalid>"]
    assert (await change_contact(gateway.db, user_id, email="b@home.example")).receipts == 0


async def test_receipt_on_its_way_to_the_old_address_is_not_buried_after_the_address_was_mended(
    gateway: GatewayActions,
) -> None:
    order_id = await completed(gateway, "slow550@home.example")
    user_id = await owner(gateway, order_id)
    box = SlowRefusal()
    with serve_smtp(box) as place:
        outbox = relay(gateway, mail_to(f"smtp://{place}"))
        sending = asyncio.create_task(outbox.relay())
        await until(box.asked.is_set)
        assert (await change_contact(gateway.db, user_id, email="kitchen@home.example")).receipts == 1
        box.answer.set()
        await sending
        assert (await states(gateway))[order_id][0] == "due"
        await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now()")  # the lease has passed
        await outbox.relay()
    assert (await states(gateway))[order_id] == ("done", None)
    assert box.recipients == ["kitchen@home.example"]
