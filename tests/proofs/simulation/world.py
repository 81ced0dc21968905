"""A whole run: two gateways on one database, an inventory, devices and robots; first with faults, then until nothing is
owed."""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.core.order import TERMINAL, Fact, WebhookDelivery
from autogrocery.gateway.core.switch import ALL_OFF, PAUSE_DISPATCH, PAUSE_PREVIEWS, Switches
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.process.faults import SimulatedDeath
from autogrocery.kit.process.log import capture
from tests.proofs.simulation.checks import CommitWatcher
from tests.proofs.simulation.device import Acknowledgement, Device
from tests.proofs.simulation.gateway import Gateway
from tests.proofs.simulation.loop import VirtualLoop, run
from tests.proofs.simulation.memory_db import MemoryDb
from tests.proofs.simulation.memory_inventory import MemoryInventory
from tests.proofs.simulation.network import FaultRates, Network, Trace
from tests.proofs.simulation.omitted_rules import STATEMENTS
from tests.proofs.simulation.plan import SKUS, Plan, draw
from tests.proofs.simulation.tables import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from datetime import datetime

    from autogrocery.gateway.core.order import Order
    from tests.proofs.simulation.network import Process
    from tests.proofs.simulation.omitted_rules import Rule
    from tests.proofs.simulation.ports import Sent

SETTLE_S = 400.0  # after the faults have ended; by then nothing may be owed
LOOK_EVERY_S = 5.0
SLOW_LOOPS_S = {"sweeper": 2.0, "expirer": 4.0, "reconciler": 8.0, "receipts": 8.0}
WEBHOOK_TRIES = 6
SWITCHED = (None, PAUSE_DISPATCH, None, PAUSE_PREVIEWS)  # in turn, in the runs that have switches
SWITCHED_FOR_S = 1.5
MIN_IDLE_S = 9.0  # later than any statement can take effect; an order that owes a call accepts a signed webhook
LATE_DEVICE = 9  # starts when inventory is available again, and takes the stock of lapsed holds
EXPECTED_ERRORS = (Refused, Unavailable, InDoubt, SimulatedDeath)  # errors that a request may raise; any other is a bug


class World:
    """The state of one run, and everything that was recorded in it."""

    def __init__(self, plan: Plan, loop: VirtualLoop, omitted: Rule | None = None) -> None:
        self.plan = plan
        self.loop = loop
        self.rng = random.Random(plan.seed)
        self.trace = Trace(loop)
        self.network = Network(loop, self.rng, self.trace)
        self.omitted = omitted
        self.memory = MemoryDb(self.rng.random)
        if omitted in STATEMENTS:
            self.memory.statements.update(STATEMENTS[omitted])
        self.inventory = MemoryInventory(loop, plan.stock, omitted)
        self.inventory.on_dispatch = lambda order_id: self.spawn(self.pick(order_id))
        self.prices = {sku: 100 + 7 * number for number, sku in enumerate(SKUS)}
        self.acknowledged: list[Acknowledgement] = []
        self.sent: list[Sent] = []
        self.mail: list[str] = []
        self.unconfirmed_metrics: set[tuple[int, int]] = set()
        self.processes: dict[int, Process] = {}
        self.bugs: list[str] = []
        self.harms: list[str] = []  # found by a device
        self.settled_at: float | None = None
        self.watcher = CommitWatcher(self)
        self.memory.on_change = self.watcher
        self._pending: dict[asyncio.Task[Any], None] = {}
        self.gateways = [Gateway(self, name) for name in ("gw-a", "gw-b")]

    def now(self) -> datetime:
        return BEGINNING + timedelta(microseconds=round(self.loop.time() * 1e6))

    def next_epoch(self) -> int:
        return len(self.processes) + 1

    def gateway(self) -> Gateway:
        """Return a random gateway, as a load balancer does."""
        return self.rng.choice(self.gateways)

    def switches(self, gateway: Gateway) -> Switches:
        """Return the switches as a gateway has read them, up to a second ago; in each third run some are on."""
        if self.plan.seed % 3:
            return ALL_OFF
        read_at_s = self.loop.time() - self.gateways.index(gateway) / len(self.gateways)
        name = SWITCHED[int(read_at_s / SWITCHED_FOR_S) % len(SWITCHED)]
        return Switches(frozenset({name} if name else ()))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a task of a process; an exception that is neither Killed nor an expected error is a bug."""
        task = self.loop.create_task(work)
        self._pending[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._pending[task]
        if not task.cancelled():
            self._note_bug(task.exception())

    def unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an exception outside of any awaited task: of a delayed effect or a woken loop."""
        self._note_bug(context.get("exception"))

    def _note_bug(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, EXPECTED_ERRORS):
            self.bugs.append(f"{type(error).__name__}: {error}")

    async def run(self) -> None:
        """Start, run with faults, end the faults, and wait until nothing is owed."""
        self.memory.tables.devices.update({number: f"d{number}@example.org" for number in range(1, LATE_DEVICE + 1)})
        for gateway in self.gateways:
            await gateway.start()
        self.network.fault_rates = self.plan.fault_rates
        faults = [self.spawn(self._crash(*crash)) for crash in self.plan.crashes]
        faults += [self.spawn(self._outage(*outage)) for outage in self.plan.outages]
        faults.append(self.spawn(self._no_robots(*self.plan.no_robots)))
        await asyncio.gather(
            *(Device(self, number).run() for number in range(1, self.plan.devices + 1)),
            *(
                Device(self, LATE_DEVICE).run(end_s - 1.0)
                for _, end_s, port in self.plan.outages
                if port == "inventory"
            ),
        )
        for fault in faults:
            await fault
        await self._settle()
        for task in list(self._pending):
            task.cancel()
        await asyncio.sleep(1.0)

    async def _settle(self) -> None:
        self.network.fault_rates = FaultRates()
        self.trace.note("world", "healed")
        for gateway in self.gateways:
            for loop in gateway.loops:
                loop.every_s = SLOW_LOOPS_S[loop.name]
        until = self.loop.time() + SETTLE_S
        while self.loop.time() < until:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._owed():
                self.settled_at = self.loop.time()
                return

    def _owed(self) -> bool:
        tables = self.memory.tables
        living = any(order["finished_at"] is None for order in tables.orders.values())
        unsent = any(row["done_at"] is None and row["dead_at"] is None for row in tables.receipts.values())
        self.inventory.lapse()
        held = any(entry.state == "HELD" for entry in self.inventory.register.values())
        return living or unsent or held

    async def _crash(self, at_s: float, number: int) -> None:
        await asyncio.sleep(at_s)
        self.gateways[number].crash()

    async def _outage(self, start_s: float, end_s: float, port: str) -> None:
        await asyncio.sleep(start_s)
        self.network.down.add(port)
        self.trace.note("world", f"{port} is down")
        await asyncio.sleep(end_s - start_s)
        self.network.down.discard(port)
        if port == "inventory":
            self.inventory.restart()
        self.trace.note("world", f"{port} is back")

    async def _no_robots(self, start_s: float, end_s: float) -> None:
        await asyncio.sleep(start_s)
        self.inventory.no_robots = True
        await asyncio.sleep(end_s - start_s)
        self.inventory.no_robots = False

    async def pick(self, order_id: UUID) -> None:
        """Let the robots pick a dispatch, and send the webhook unless it is lost."""
        slow = not self.plan.fast_robots or self.rng.random() < 0.5
        await asyncio.sleep(
            self.rng.uniform(0.1, self.plan.start_within_s) if slow else self.rng.choice((0.0, 0.001, 0.02))
        )
        if not self.inventory.start(order_id):
            return
        await asyncio.sleep(self.rng.uniform(0.1, 3.0) if slow else self.rng.choice((0.0, 0.001, 0.02)))
        if order_id not in self.inventory.register:
            return
        items = self.inventory.register[order_id].items
        full = self.rng.random() < 0.6
        picked = {sku: n if full else self.rng.randint(0, n) for sku, n in items.items()}
        if self.rng.random() < 0.1:
            picked = dict.fromkeys(items, 0)
        self.inventory.finish(order_id, picked)
        if self.rng.random() >= self.plan.lost_webhooks:
            await self.send_webhook(order_id, picked)

    async def send_webhook(self, order_id: UUID, picked: dict[str, int]) -> None:
        """Send a webhook until a gateway has accepted it, and sometimes once more."""
        fact = Fact.PICKED if any(picked.values()) else Fact.NOTHING_PICKED
        again = self.rng.random() < 0.4
        taken = False
        for _ in range(WEBHOOK_TRIES):
            taken = await self.send_webhook_once(order_id, fact, picked, "w1", b"body")
            if taken and not again:
                break
            again = again and not taken
            await asyncio.sleep(self.rng.choice((0.0, 0.5, 3.0)))
        if taken and self.rng.random() < 0.1:
            await self.send_webhook_once(order_id, Fact.NOTHING_PICKED, None, "w1", b"another body")

    async def send_webhook_once(
        self, order_id: UUID, fact: Fact, picked: dict[str, int] | None, webhook_id: str, body: bytes
    ) -> bool:
        """Send a webhook once; True if it was answered 200."""
        gateway = self.gateway()
        delivery = WebhookDelivery(webhook_id, body)
        try:
            done = await gateway.request(
                lambda deps: complete(
                    deps.orders, deps.inventory, deps.metrics, order_id, fact, picked=picked, delivery=delivery
                )
            )
        except (Exception, SimulatedDeath) as answer:  # noqa: BLE001 - as a device's: a bug is noted where it was spawned
            self.trace.note("inventory", f"webhook {fact}", order_id, getattr(answer, "code", "no answer"))
            return False
        self.trace.note("inventory", f"webhook {fact}", order_id, f"applied {done.applied}, {done.status}")
        return True

    async def send_false_webhook(self, order: Order) -> None:
        """Sometimes send a false webhook for an order that was not confirmed and stays idle for a while."""
        left_s = (order.expires_at - self.now()).total_seconds()
        row = self.memory.tables.orders[order.order_id]
        idle = row["status"] == "PREVIEWED" and row["intent"] is None and left_s > MIN_IDLE_S
        unassigned = not self.inventory.get(order.order_id).assigned
        if (idle or row["status"] in TERMINAL) and unassigned and self.rng.random() < 0.9:
            await self.send_webhook_once(order.order_id, Fact.PICKED, None, "false", b"false")


@contextmanager
def tracing_log(world: World) -> Iterator[None]:
    """Record the product's log in the trace; a `loop_failed` event is a bug."""

    def take(level: str, name: str, fields: dict[str, Any]) -> None:
        order_id = fields.pop("order_id", None) or next(iter(fields.pop("key", ())), None)
        facts = "" if level == "exception" else " ".join(f"{key}={value}" for key, value in fields.items())
        world.trace.note("log", f"log.{name}", UUID(order_id) if order_id else None, facts)
        if name == "loop_failed":
            world.bugs.append(f"a loop failed: {fields}")

    with capture(take):
        yield


def simulate(seed: int, omitted: Rule | None = None) -> World:
    """Run the seed's world to its end; raises DeadlockError."""
    random.seed(seed)  # the product's own jitter
    loop = VirtualLoop()
    world = World(draw(seed), loop, omitted)
    loop.set_exception_handler(world.unhandled)
    with tracing_log(world):
        run(world.run(), loop)
    return world
