"""A whole run: two gateways on one database, an inventory, devices and robots; first in bad weather, then until quiet."""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.core.order import TERMINAL, Fact
from autogrocery.gateway.store.moves import Delivery
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.process.faults import Killed
from tests.proofs.simulation.device import Device, Told
from tests.proofs.simulation.drops import STATEMENTS
from tests.proofs.simulation.gateway import Gateway
from tests.proofs.simulation.judge import Watch
from tests.proofs.simulation.loop import VirtualLoop, run
from tests.proofs.simulation.memory_db import MemoryDb
from tests.proofs.simulation.memory_inventory import Shelf
from tests.proofs.simulation.network import Journal, Network, Weather
from tests.proofs.simulation.plan import SKUS, Plan, draw
from tests.proofs.simulation.tables import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, MutableMapping
    from datetime import datetime

    from autogrocery.gateway.core.order import Order
    from tests.proofs.simulation.drops import Drop
    from tests.proofs.simulation.network import Life
    from tests.proofs.simulation.ports import Sent

QUIET_S = 400.0  # after the faults have ended: by then nothing may be owed
LOOK_EVERY_S = 5.0
CALM_LOOPS_S = {"sweeper": 2.0, "expirer": 4.0, "reconciler": 8.0, "receipts": 8.0}
WEBHOOK_TRIES = 6
SURELY_IDLE_S = (
    9.0  # beyond the latest that a statement can take effect; an order that owes a call believes what is signed
)
LATE_SHOPPER = 9  # comes when inventory is back, and takes what holds have let go of
ANSWERS = (Refused, Unavailable, InDoubt, Killed)  # which may reach a request; anything else is a bug


class World:
    """Everything there is in one run, and what was told in it."""

    def __init__(self, plan: Plan, loop: VirtualLoop, drop: Drop | None = None) -> None:
        self.plan = plan
        self.loop = loop
        self.rng = random.Random(plan.seed)
        self.journal = Journal(loop)
        self.network = Network(loop, self.rng, self.journal)
        self.drop = drop
        self.memory = MemoryDb(self.rng.random)
        if drop in STATEMENTS:
            self.memory.statements.update(STATEMENTS[drop])
        self.shelf = Shelf(loop, plan.stock, drop)
        self.shelf.on_dispatch = lambda order_id: self.spawn(self.pick(order_id))
        self.prices = {sku: 100 + 7 * number for number, sku in enumerate(SKUS)}
        self.told: list[Told] = []
        self.sent: list[Sent] = []
        self.mail: list[str] = []
        self.untold: set[tuple[int, int]] = set()
        self.lives: dict[int, Life] = {}
        self.bugs: list[str] = []
        self.harms: list[str] = []  # which a device met
        self.quiet_at: float | None = None
        self.watch = Watch(self)
        self.memory.on_change = self.watch
        self._pending: dict[asyncio.Task[Any], None] = {}
        self.gateways = [Gateway(self, name) for name in ("gw-a", "gw-b")]

    def now(self) -> datetime:
        return BEGINNING + timedelta(microseconds=round(self.loop.time() * 1e6))

    def next_epoch(self) -> int:
        return len(self.lives) + 1

    def gateway(self) -> Gateway:
        """Return one of the gateways, as a balancer would."""
        return self.rng.choice(self.gateways)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run work of a process; what it dies of is a bug, unless the process was killed or the answer is one."""
        task = self.loop.create_task(work)
        self._pending[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._pending[task]
        if not task.cancelled():
            self._doubt(task.exception())

    def unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody awaits goes wrong: a late effect, a hurried loop."""
        self._doubt(context.get("exception"))

    def _doubt(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, ANSWERS):
            self.bugs.append(f"{type(error).__name__}: {error}")

    async def live(self) -> None:
        """Open, let the faults rage, heal, and wait until nothing is owed."""
        self.memory.tables.devices.update({number: f"d{number}@example.org" for number in range(1, LATE_SHOPPER + 1)})
        for gateway in self.gateways:
            await gateway.start()
        self.network.weather = self.plan.weather
        faults = [self.spawn(self._crash(*crash)) for crash in self.plan.crashes]
        faults += [self.spawn(self._outage(*outage)) for outage in self.plan.outages]
        faults.append(self.spawn(self._no_robots(*self.plan.no_robots)))
        await asyncio.gather(
            *(Device(self, number).live() for number in range(1, self.plan.devices + 1)),
            *(
                Device(self, LATE_SHOPPER).live(end_s - 1.0)
                for _, end_s, port in self.plan.outages
                if port == "inventory"
            ),
        )
        for fault in faults:
            await fault
        await self._heal()
        for task in list(self._pending):
            task.cancel()
        await asyncio.sleep(1.0)

    async def _heal(self) -> None:
        self.network.weather = Weather()
        self.journal.note("world", "healed")
        for gateway in self.gateways:
            for loop in gateway.loops:
                loop.every_s = CALM_LOOPS_S[loop.name]
        until = self.loop.time() + QUIET_S
        while self.loop.time() < until:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._owed():
                self.quiet_at = self.loop.time()
                return

    def _owed(self) -> bool:
        tables = self.memory.tables
        living = any(order["finished_at"] is None for order in tables.orders.values())
        unsent = any(row["done_at"] is None and row["dead_at"] is None for row in tables.receipts.values())
        self.shelf.lapse()
        held = any(entry.state == "HELD" for entry in self.shelf.register.values())
        return living or unsent or held

    async def _crash(self, at_s: float, number: int) -> None:
        await asyncio.sleep(at_s)
        self.gateways[number].crash()

    async def _outage(self, start_s: float, end_s: float, port: str) -> None:
        await asyncio.sleep(start_s)
        self.network.away.add(port)
        self.journal.note("world", f"{port} goes away")
        await asyncio.sleep(end_s - start_s)
        self.network.away.discard(port)
        if port == "inventory":
            self.shelf.restart()
        self.journal.note("world", f"{port} is back")

    async def _no_robots(self, start_s: float, end_s: float) -> None:
        await asyncio.sleep(start_s)
        self.shelf.robots_away = True
        await asyncio.sleep(end_s - start_s)
        self.shelf.robots_away = False

    async def pick(self, order_id: UUID) -> None:
        """What robots do with a dispatch, and what inventory tells the gateway then, if that gets through."""
        slow = not self.plan.fast_robots or self.rng.random() < 0.5
        await asyncio.sleep(
            self.rng.uniform(0.1, self.plan.start_within_s) if slow else self.rng.choice((0.0, 0.001, 0.02))
        )
        if not self.shelf.start(order_id):
            return
        await asyncio.sleep(self.rng.uniform(0.1, 3.0) if slow else self.rng.choice((0.0, 0.001, 0.02)))
        if order_id not in self.shelf.register:
            return
        items = self.shelf.register[order_id].items
        full = self.rng.random() < 0.6
        picked = {sku: n if full else self.rng.randint(0, n) for sku, n in items.items()}
        if self.rng.random() < 0.1:
            picked = dict.fromkeys(items, 0)
        self.shelf.finish(order_id, picked)
        if self.rng.random() >= self.plan.lost_webhooks:
            await self.tell(order_id, picked)

    async def tell(self, order_id: UUID, picked: dict[str, int]) -> None:
        """Deliver a webhook until a gateway has taken it, and sometimes once more."""
        fact = Fact.PICKED if any(picked.values()) else Fact.NOTHING_PICKED
        again = self.rng.random() < 0.4
        taken = False
        for _ in range(WEBHOOK_TRIES):
            taken = await self.webhook(order_id, fact, picked, "w1", b"body")
            if taken and not again:
                break
            again = again and not taken
            await asyncio.sleep(self.rng.choice((0.0, 0.5, 3.0)))
        if taken and self.rng.random() < 0.1:
            await self.webhook(order_id, Fact.NOTHING_PICKED, None, "w1", b"another body")

    async def webhook(
        self, order_id: UUID, fact: Fact, picked: dict[str, int] | None, webhook_id: str, body: bytes
    ) -> bool:
        """Deliver once; True if the gateway said 200."""
        gateway = self.gateway()
        delivery = Delivery(webhook_id, body)
        try:
            applied, status = await gateway.ask(
                lambda deps: complete(
                    deps.db, deps.inventory, deps.metrics, order_id, fact, picked=picked, delivery=delivery
                )
            )
        except (Exception, Killed) as answer:  # noqa: BLE001 - as a device's: a bug is noted where it was spawned
            self.journal.note("inventory", f"webhook {fact}", order_id, getattr(answer, "code", "no answer"))
            return False
        self.journal.note("inventory", f"webhook {fact}", order_id, f"applied {applied}, {status}")
        return True

    async def lie_about(self, order: Order) -> None:
        """Sometimes a webhook comes about an order that nobody confirmed: while it is idle and will be for a while."""
        left_s = (order.expires_at - self.now()).total_seconds()
        row = self.memory.tables.orders[order.order_id]
        idle = row["status"] == "PREVIEWED" and row["intent"] is None and left_s > SURELY_IDLE_S
        unassigned = not self.shelf.get(order.order_id).assigned
        if (idle or row["status"] in TERMINAL) and unassigned and self.rng.random() < 0.9:
            await self.webhook(order.order_id, Fact.PICKED, None, "false", b"false")


@contextmanager
def listening(world: World) -> Iterator[None]:
    """Take the product's log into the trace; an error in it that no rule foresees is a bug."""

    def take(_logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        name = event.pop("event")
        order_id = event.pop("order_id", None) or next(iter(event.pop("key", ())), None)
        facts = "" if method == "exception" else " ".join(f"{key}={value}" for key, value in event.items())
        world.journal.note("log", f"log.{name}", UUID(order_id) if order_id else None, facts)
        if name == "loop_failed":
            world.bugs.append(f"a loop failed: {event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[take], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(seed: int, drop: Drop | None = None) -> World:
    """Run the seed's world to its end, in no time; raises DeadlockError."""
    random.seed(seed)  # the product's own jitter
    loop = VirtualLoop()
    world = World(draw(seed), loop, drop)
    loop.set_exception_handler(world.unhandled)
    with listening(world):
        run(world.live(), loop)
    return world
