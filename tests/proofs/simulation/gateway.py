"""One gateway process: the real actions and loops on memory ports; after a crash it restarts with a new epoch."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from autogrocery.gateway.actions.preview import enforce_preview_quota
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import order_loops
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.gateway.store import metrics_log
from autogrocery.gateway.store.order_store import OrderStore
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.faults import SimulatedDeath
from autogrocery.notifier.actions.send_alert import AlertLimits
from autogrocery.notifier.loops import notifier_loops
from autogrocery.notifier.peers.sms import Sms
from tests.proofs.simulation.network import Process
from tests.proofs.simulation.omitted_rules import LOOPS
from tests.proofs.simulation.ports import DbPort, InventoryPort, MailPort, PricingPort, PublisherPort

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from autogrocery.kit.process.loops import Loop
    from tests.proofs.simulation.world import World

T = TypeVar("T")
START_AGAIN_S = 0.5
BACK_AFTER_S = (0.1, 2.0)
LOOPS_EVERY_S = {"sweeper": 0.5, "expirer": 1.0, "reconciler": 5.0, "receipts": 2.0}


class Gateway:
    """A gateway process; `deps` is None while it is down."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.runs = 0
        self.process = Process(name)
        self.process.alive = False
        self.deps: Deps | None = None
        self.loops: list[Loop] = []

    async def start(self) -> None:
        """Open the ports, add the epoch, run the loops; retried while the database does not answer."""
        while True:
            self.runs += 1
            process = Process(f"{self.name}.{self.runs}", self._ended_process)
            deps = self._deps(process)
            try:
                await metrics_log.add_epoch(deps.db, deps.metrics.epoch)
            except (Unavailable, SimulatedDeath):
                await asyncio.sleep(START_AGAIN_S)
                continue
            break
        self.process, self.deps = process, deps
        self.world.trace.note(process.name, "gateway started")
        self.loops = [
            loop
            for loop in (*order_loops(deps), self._receipts(process))
            if (self.world.omitted, loop.name) not in LOOPS
        ]
        for loop in self.loops:
            loop.every_s = LOOPS_EVERY_S[loop.name]
            self.world.spawn(loop.run())

    def crash(self) -> None:
        """End the process; its requests in flight may still take effect. It restarts later."""
        self.process.kill()

    def _ended_process(self) -> None:
        self.world.trace.note(self.name, "gateway crashed")
        if self.deps is None:  # it was starting, and continues to
            return
        self.deps = None
        self.world.spawn(self._restart_later())

    async def _restart_later(self) -> None:
        await asyncio.sleep(self.world.rng.choice(BACK_AFTER_S))
        await self.start()

    async def request(self, verb: Callable[[Deps], Coroutine[Any, Any, T]]) -> T:
        """Run one request in this process; it is answered only if the process has not ended."""
        deps, process = self.deps, self.process
        if deps is None:
            raise Unavailable("connection_refused", "the gateway is down")
        answer: T = await asyncio.shield(self.world.spawn(verb(deps)))
        process.require()
        return answer

    def after_response(self, user_id: int) -> None:
        """Do what the preview's route does after its response."""
        deps = self.deps
        if deps is None:
            return

        async def quota() -> None:
            max_live = deps.settings.max_live_previews
            with suppress(Unavailable):
                await enforce_preview_quota(deps.orders, deps.inventory, deps.metrics, user_id, max_live=max_live)

        self.world.spawn(quota())

    def _receipts(self, process: Process) -> Loop:
        """Return the loop of its notifier that sends receipts; a child dies with its parent."""
        world: Any = self.world
        mail = MailPort(world.mail, process, world.network)
        relays = notifier_loops(self._db(process), mail, Sms(), "mart-sim", AlertLimits())
        return next(loop for loop in relays if loop.name == "receipts")

    def _db(self, process: Process) -> Any:
        world = self.world
        return DbPort(world.memory, process, world.network, world.now, world.unconfirmed_metrics)

    def _deps(self, process: Process) -> Deps:
        world, plan = self.world, self.world.plan
        settings = GatewaySettings(
            database_url="",
            jwt_secret="",
            robot_jwt_secret="",
            webhook_secret="",
            preview_ttl_s=plan.ttl_s,
            dispatch_patience_s=plan.patience_s,
            max_live_previews=plan.max_live_previews,
        )
        network = world.network
        metrics = Metrics(PublisherPort(world.memory, process, world.sent), "mart-sim")  # type: ignore[arg-type]
        metrics.epoch = world.next_epoch()
        world.processes[metrics.epoch] = process
        db = self._db(process)
        ports: dict[str, Any] = {
            "db": db,
            "orders": OrderStore(db),
            "inventory": InventoryPort(world.inventory, process, network),
            "pricing": PricingPort(world.prices, process, network),
            "inventory_operations": None,
        }
        return Deps(settings, metrics=metrics, reconcile_again_s=plan.reconcile_again_s, **ports)
