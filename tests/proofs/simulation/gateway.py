"""One gateway process: the real actions and loops on memory ports. It dies at once and starts again with a new epoch."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from autogrocery.gateway.actions.preview import keep_quota
from autogrocery.gateway.deps import Deps
from autogrocery.gateway.loops import order_loops
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.gateway.store import metrics_log
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.faults import Killed
from tests.proofs.simulation.drops import LOOPS
from tests.proofs.simulation.network import Life
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
    """A process that may be dead; `deps` is what its actions use while it lives."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.runs = 0
        self.life = Life(name)
        self.life.alive = False
        self.deps: Deps | None = None
        self.loops: list[Loop] = []

    async def start(self) -> None:
        """Open the ports, announce the epoch, run the loops; a database that doesn't answer lets it try again."""
        while True:
            self.runs += 1
            life = Life(f"{self.name}.{self.runs}", self._died)
            deps = self._deps(life)
            try:
                await metrics_log.add_epoch(deps.db, deps.metrics.epoch)
            except (Unavailable, Killed):
                await asyncio.sleep(START_AGAIN_S)
                continue
            break
        self.life, self.deps = life, deps
        self.world.journal.note(life.name, "gateway started")
        self.loops = [loop for loop in order_loops(deps) if (self.world.drop, loop.name) not in LOOPS]
        for loop in self.loops:
            loop.every_s = LOOPS_EVERY_S[loop.name]
            self.world.spawn(loop.run())

    def crash(self) -> None:
        """End all at once; requests of it that are on their way may still have their effect. It comes back after a while."""
        self.life.die()

    def _died(self) -> None:
        self.world.journal.note(self.name, "gateway crashed")
        if self.deps is None:  # while it was starting, which it goes on with
            return
        self.deps = None
        self.world.spawn(self._come_back())

    async def _come_back(self) -> None:
        await asyncio.sleep(self.world.rng.choice(BACK_AFTER_S))
        await self.start()

    async def ask(self, verb: Callable[[Deps], Coroutine[Any, Any, T]]) -> T:
        """Run one request as work of this process: its answer is told only if the process lives to tell it."""
        deps, life = self.deps, self.life
        if deps is None:
            raise Unavailable("connection_refused", "the gateway is down")
        answer: T = await asyncio.shield(self.world.spawn(verb(deps)))
        life.require()
        return answer

    def after_the_answer(self, user_id: int) -> None:
        """What the preview's route does when it has answered."""
        deps = self.deps
        if deps is None:
            return

        async def quota() -> None:
            max_live = deps.settings.max_live_previews
            with suppress(Unavailable):
                await keep_quota(deps.db, deps.inventory, deps.metrics, user_id, max_live=max_live)

        self.world.spawn(quota())

    def _deps(self, life: Life) -> Deps:
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
        metrics = Metrics(PublisherPort(world.memory, life, world.sent), "mart-sim")  # type: ignore[arg-type]
        metrics.epoch = world.next_epoch()
        world.lives[metrics.epoch] = life
        ports: dict[str, Any] = {
            "db": DbPort(world.memory, life, network, world.now, world.untold),
            "inventory": InventoryPort(world.shelf, life, network),
            "pricing": PricingPort(world.prices, life, network),
            "mail": MailPort(world.mail, life, network),
        }
        return Deps(settings, metrics=metrics, reconcile_again_s=plan.reconcile_again_s, **ports)
