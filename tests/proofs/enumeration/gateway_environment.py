"""The gateway's ports and loops on real PostgreSQL, gRPC, ZeroMQ and SMTP, with a restart that stands for a new
process.

No listener is open: faults are injected into the actions themselves, thousands of times.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.app import open_accounts
from autogrocery.gateway.deps import AccountDeps, Deps
from autogrocery.gateway.loops import order_loops, restock_loops
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.gateway.store import metrics_log, orders
from autogrocery.gateway.store.order_store import OrderStore
from autogrocery.kit import bus
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.notifier.actions.send_alert import AlertLimits
from autogrocery.notifier.loops import notifier_loops
from autogrocery.notifier.peers.sms import open_sms
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers
from tests.harness.fake_sms import serve_sms
from tests.harness.gateway_actions import HASH
from tests.harness.mail_server import Mailbox, serve_smtp
from tests.harness.notifier import mail_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.loops import Loop
    from autogrocery.notifier.peers.mail import SmtpMail
    from autogrocery.notifier.peers.sms import Sms
    from tests.harness.fake_sms import SmsProvider
    from tests.proofs.enumeration.scenario import Subject

STOCKED = ("milk", "bread")  # SKUs with stock for thousands of orders
DEVICE_KEY, ROBOT_KEY = b"devices-and-operators-of-a-test-", b"robots-of-a-test-have-their-own-"


class GatewayEnvironment(Struct):
    """One gateway and its notifier, and what outlives it: database, fake peers, mail server and SMS provider."""

    db: Db
    fake_inventory: FakeInventory
    fake_pricing: FakePricing
    target: str
    smtp_url: str
    mailbox: Mailbox
    accounts: AccountDeps
    deps: Deps
    publisher: bus.Publisher
    process: AsyncExitStack
    provider: SmsProvider
    sms: Sms
    mail: SmtpMail

    def loops(self) -> list[Loop]:
        """Return the loops of a gateway and of its notifier."""
        sending = notifier_loops(self.db, self.mail, self.sms, "mart-test", AlertLimits(cap_per_day=1_000))
        return [*order_loops(self.deps), *restock_loops(self.deps), *sending]

    async def restart(self) -> None:
        """Replace what a new process has of its own: channel, breakers and metrics epoch."""
        await self.process.aclose()
        channel = await self.process.enter_async_context(open_channel(self.target))
        metrics = Metrics(self.publisher, "mart-test")
        await metrics_log.add_epoch(self.db, metrics.epoch)
        self.deps = replace(self.deps, inventory=Inventory(channel), pricing=Pricing(channel), metrics=metrics)

    async def run_loops(self, subject: Subject | None = None) -> None:
        """Make everything owed due and run every loop once; of PROCESSING orders only the subject's is due."""
        await self.db.run(
            "UPDATE grocery_orders SET due_at = now() WHERE due_at IS NOT NULL AND (intent IS NOT NULL"
            " OR expires_at <= now() AND status = 'PREVIEWED' OR status = 'PROCESSING' AND order_id = $1)",
            subject.order_id if subject else None,
        )
        await self.db.run(
            "UPDATE restock_orders SET due_at = now()"
            " WHERE due_at IS NOT NULL AND (intent IS NOT NULL OR user_id = $1)",
            subject.user_id if subject else None,
        )
        await self.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE done_at IS NULL")
        await self.db.run("UPDATE alert_outbox SET next_attempt_at = now() WHERE done_at IS NULL")
        for loop in self.loops():
            await loop._once()

    async def expire_quote(self, subject: Subject) -> None:
        """Make the subject's quote overdue unless it owes a call."""
        await self.db.run(
            "UPDATE grocery_orders SET expires_at = created_at + interval '1 microsecond', due_at = now()"
            " WHERE order_id = $1 AND status = 'PREVIEWED' AND intent IS NULL",
            subject.order_id,
        )

    async def run_loop(self, name: str) -> None:
        """Run the loop of this name once."""
        (loop,) = [loop for loop in self.loops() if loop.name == name]
        await loop._once()

    async def device(self, device_id: str) -> int:
        row = await self.db.row(
            "INSERT INTO smart_devices (device_id, password, email, phone)"
            " VALUES ($1, $2, $3, '+15550177') RETURNING id",
            device_id,
            HASH,
            f"{device_id}@mart.example",
        )
        assert row is not None
        user_id: int = row["id"]
        return user_id

    async def order(self, order_id: UUID) -> Order | None:
        return await orders.get(self.db, order_id)

    async def count_owed(self) -> int:
        """Count the calls and messages that the loops still owe."""
        row = await self.db.row(
            "SELECT (SELECT count(*) FROM grocery_orders WHERE intent IS NOT NULL)"
            " + (SELECT count(*) FROM restock_orders WHERE intent IS NOT NULL)"
            " + (SELECT count(*) FROM receipt_outbox WHERE done_at IS NULL)"
            " + (SELECT count(*) FROM alert_outbox WHERE done_at IS NULL) AS owed"
        )
        assert row is not None
        count: int = row["owed"]
        return count

    async def violations(self) -> list[str]:
        found = (await audit(self.db)).invariants
        return [f"{one.name}: {one.examples}" for one in found if one.violations]


@asynccontextmanager
async def open_gateway_environment(db: Db) -> AsyncIterator[GatewayEnvironment]:
    async with AsyncExitStack() as stack:
        fake_inventory, fake_pricing, target = await stack.enter_async_context(serve_peers())
        fake_inventory.stock.update(dict.fromkeys(STOCKED, 1_000_000))
        publisher = await stack.enter_async_context(
            bus.open_publisher("ANALYTICS_ZMQ_ADDR", "tcp://127.0.0.1:*", point="metrics.publish")
        )
        mailbox = Mailbox()
        smtp_url = f"smtp://{stack.enter_context(serve_smtp(mailbox))}"
        settings = GatewaySettings(
            database_url="", jwt_secret="", robot_jwt_secret="", webhook_secret="", bcrypt_cost=5, max_live_previews=1
        )
        accounts = await stack.enter_async_context(open_accounts(db, settings, (DEVICE_KEY,), (ROBOT_KEY,)))
        no_preparation: Deps = Deps(settings, db, None, None, None, None, OrderStore(db))  # type: ignore[arg-type]
        provider = await stack.enter_async_context(serve_sms())
        sms = await stack.enter_async_context(open_sms(provider.url, timeout_s=1.0))
        process = AsyncExitStack()
        made = GatewayEnvironment(
            db,
            fake_inventory,
            fake_pricing,
            target,
            smtp_url,
            mailbox,
            accounts,
            no_preparation,
            publisher,
            process,
            provider,
            sms,
            mail_to(smtp_url, deadline_s=1.0),
        )
        stack.push_async_callback(process.aclose)
        await made.restart()
        yield made
