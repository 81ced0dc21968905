"""The gateway's insides on real PostgreSQL, gRPC, ZeroMQ and SMTP, in a process that can die and come back."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.send_alert import Manners
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import alert_loop, order_loops, restock_loops
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.mail import Mail
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.peers.sms import open_sms
from autogrocery.gateway.routes.accounts import Accounts, open_accounts
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.gateway.store import metrics_log, orders
from autogrocery.kit import bus
from autogrocery.kit.rpc.client import open_channel
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers
from tests.harness.fake_sms import serve_sms
from tests.harness.mail_server import serve_postbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.sms import Sms
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.loops import Loop
    from tests.harness.fake_sms import Provider
    from tests.proofs.enumeration.deeds import Subject

PLENTY = ("milk", "bread")  # for thousands of orders
KEY, ROBOT_KEY = b"devices-and-operators-of-a-test-", b"robots-of-a-test-have-their-own-"
HASH = "$2b$10$" + "x" * 53


class Postbox:
    """Takes every mail; the same Message-ID again is the same mail again."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:
        text = bytes(envelope.content).decode()  # type: ignore[attr-defined]
        message_id = next(line for line in text.splitlines() if line.lower().startswith("message-id:"))
        self.taken.append((message_id.partition(":")[2].strip(), text))
        return "250 OK"


class Stage(Struct):
    """One gateway process and what outlives it: the database, the peers, the mail server, the provider of SMS."""

    db: Db
    shelf: FakeInventory
    prices: FakePricing
    target: str
    smtp_url: str
    postbox: Postbox
    accounts: Accounts
    deps: Deps
    publisher: bus.Publisher
    process: AsyncExitStack
    provider: Provider
    sms: Sms

    def loops(self) -> list[Loop]:
        """What the clock starts in a gateway."""
        alerts = alert_loop(self.db, self.sms, "mart-test", Manners(cap_per_day=1_000))
        return [*order_loops(self.deps), *restock_loops(self.deps), alerts]

    async def restart(self) -> None:
        """End the process and start the next one: new channel, new breaker, new epoch of metrics."""
        await self.process.aclose()
        channel = await self.process.enter_async_context(open_channel(self.target))
        metrics = Metrics(self.publisher, "mart-test")
        await metrics_log.add_epoch(self.db, metrics.epoch)
        self.deps = replace(self.deps, inventory=Inventory(channel), pricing=Pricing(channel), metrics=metrics)

    async def sweep(self, one: Subject | None = None) -> None:
        """One turn of every loop, with all that waits for its time being due; of orders that robots have only `one`'s."""
        await self.db.run(
            "UPDATE grocery_orders SET due_at = now() WHERE due_at IS NOT NULL AND (intent IS NOT NULL"
            " OR expires_at <= now() AND status = 'PREVIEWED' OR status = 'PROCESSING' AND order_id = $1)",
            one.order_id if one else None,
        )
        await self.db.run(
            "UPDATE restock_orders SET due_at = now() WHERE due_at IS NOT NULL AND (intent IS NOT NULL OR user_id = $1)",
            one.user_id if one else None,
        )
        await self.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE done_at IS NULL")
        await self.db.run("UPDATE alert_outbox SET next_attempt_at = now() WHERE done_at IS NULL")
        for loop in self.loops():
            await loop._once()

    async def time_passes(self, one: Subject) -> None:
        """An idle quote is past its time."""
        await self.db.run(
            "UPDATE grocery_orders SET expires_at = created_at + interval '1 microsecond', due_at = now()"
            " WHERE order_id = $1 AND status = 'PREVIEWED' AND intent IS NULL",
            one.order_id,
        )

    async def turn(self, name: str) -> None:
        """One turn of one loop."""
        (loop,) = [loop for loop in self.loops() if loop.name == name]
        await loop._once()

    async def device(self, device_id: str) -> int:
        row = await self.db.row(
            "INSERT INTO smart_devices (device_id, password, email, phone) VALUES ($1, $2, $3, '+15550177') RETURNING id",
            device_id,
            HASH,
            f"{device_id}@mart.example",
        )
        assert row is not None
        user_id: int = row["id"]
        return user_id

    async def order(self, order_id: UUID) -> Order | None:
        return await orders.get(self.db, order_id)

    async def owed(self) -> int:
        """How much is still to be done by the loops alone."""
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
async def open_stage(db: Db, folder: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        shelf, prices, target = await stack.enter_async_context(serve_peers())
        shelf.stock.update(dict.fromkeys(PLENTY, 1_000_000))
        publisher = await stack.enter_async_context(
            bus.open_publisher("ANALYTICS_ZMQ_ADDR", "tcp://127.0.0.1:*", point="metrics.publish")
        )
        postbox = Postbox()
        smtp_url = f"smtp://{stack.enter_context(serve_postbox(postbox))}"
        settings = GatewaySettings(
            database_url="", jwt_secret="", robot_jwt_secret="", webhook_secret="", bcrypt_cost=5, max_live_previews=1
        )
        accounts = await stack.enter_async_context(open_accounts(db, settings, (KEY,), (ROBOT_KEY,)))
        nothing: Deps = Deps(settings, db, None, None, None, Mail(smtp_url, folder, deadline_s=1.0))  # type: ignore[arg-type]
        provider = await stack.enter_async_context(serve_sms())
        sms = await stack.enter_async_context(open_sms(provider.url, timeout_s=1.0))
        process = AsyncExitStack()
        made = Stage(db, shelf, prices, target, smtp_url, postbox, accounts, nothing, publisher, process, provider, sms)
        stack.push_async_callback(process.aclose)
        await made.restart()
        yield made
