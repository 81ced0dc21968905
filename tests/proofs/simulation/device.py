"""A device: previews, confirms, cancels, repeats itself, walks away, and keeps a journal of every word it was told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import Basket, basket, preview
from autogrocery.gateway.core.order import TERMINAL, Status
from autogrocery.gateway.core.quote import Want, order_id_of
from autogrocery.gateway.store import orders
from autogrocery.gateway.wire.orders import order_out
from autogrocery.kit.errors import Refused
from autogrocery.kit.process.faults import Killed
from tests.proofs.simulation.plan import SKUS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.deps import Deps
    from tests.proofs.simulation.gateway import Gateway
    from tests.proofs.simulation.world import World

T = TypeVar("T")
HANDLER_S = 5.0
TRIES = 4
LOOKS = 8


class Told(Struct, frozen=True):
    """A 2xx that a device got: the verb, the order as it was shown, and whether it was settled (200) or not (202)."""

    verb: str
    order: Order
    settled: bool
    user_id: int
    wants: tuple[Want, ...] = ()
    key: str | None = None


class Device:
    """One device, working through its errands."""

    def __init__(self, world: World, user_id: int) -> None:
        self.world = world
        self.user_id = user_id
        self.rng = world.rng
        self.keys: list[tuple[str, tuple[Want, ...], bool]] = []
        self.quoted: dict[str, Basket] = {}  # what was quoted under a key
        self.name = f"device {user_id}"

    async def live(self, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        for _ in range(self.rng.randint(1, 4)):
            await asyncio.sleep(self.rng.uniform(0.0, 4.0))
            order = await self.preview()
            if order is not None:
                await self.end(order)

    async def preview(self) -> Order | None:
        """Ask for a basket, again and again while there is no clear answer; None if it was refused."""
        wants, partial, key = self._errand()
        order_id = order_id_of(self.user_id, key) if key else None
        asked = basket(self.user_id, wants, allow_partial=partial, key=key)

        for _ in range(TRIES):
            gateway = self.world.gateway()
            answer = await self.ask("preview", gateway, self._preview(asked), order_id)
            if answer is None:
                if key and self.rng.random() < 0.2:
                    asked = basket(self.user_id, [*wants[1:], Want("olive", 1)], allow_partial=partial, key=key)
                continue
            if isinstance(answer, Refused):
                if key and _alike(self.quoted.get(key), asked) and answer.code == "idempotency_mismatch":
                    self.world.harms.append(f"the same basket under its key was called another: {key} of {self.name}")
                return None
            order, replayed = answer
            if key:
                self.quoted[key] = asked
            self.world.journal.note(self.name, "told preview", order.order_id, "replayed" if replayed else "new")
            self._told("preview", order, settled=True, wants=asked.wants, key=key)
            if not replayed:
                gateway.after_the_answer(self.user_id)
            return order
        return None

    def _preview(self, asked: Basket) -> Callable[[Deps], Coroutine[Any, Any, tuple[Order, bool]]]:
        ttl_s = self.world.plan.ttl_s
        return lambda deps: preview(deps.db, deps.inventory, deps.pricing, deps.metrics, asked, ttl_s=ttl_s)

    async def end(self, order: Order) -> None:
        """Do what this device has in mind for its quote."""
        ending = self.rng.choice(self.world.plan.endings)
        self.world.journal.note(self.name, f"means to {ending}", order.order_id)
        if ending == "walk away":
            await self.world.lie_about(order)
            return
        left_s = (order.expires_at - self.world.now()).total_seconds()
        if ending == "last second":
            await asyncio.sleep(max(0.0, left_s + self.rng.uniform(-0.4, 0.05)))
        else:
            await asyncio.sleep(self.rng.choice((0.0, 0.3, 1.0)))
        match ending:
            case "twice":
                await both(self.settle("confirm", order), self.settle("confirm", order))
            case "race":
                await both(self.settle("confirm", order), self.settle("cancel", order))
            case "regret":
                await self.settle("confirm", order)
                await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.5, 3.0)))
                await self.settle("cancel", order)
            case "late regret":
                await self.settle("confirm", order)
                await self.look(order, until=Status.PROCESSING)
                await self.settle("cancel", order)
            case "cancel":
                await self.settle("cancel", order)
            case _:
                await self.settle("confirm", order)
        await self.look(order)

    async def settle(self, verb: str, order: Order) -> None:
        """Confirm or cancel; no clear answer is asked again."""
        action = confirm if verb == "confirm" else cancel
        for _ in range(TRIES):
            answer = await self.ask(
                verb,
                self.world.gateway(),
                lambda deps: action(deps.db, deps.inventory, deps.metrics, self.user_id, order.order_id),
                order.order_id,
            )
            if answer is None:
                continue
            if not isinstance(answer, Refused):
                shown, settled = answer
                self._told(verb, shown, settled=settled)
                self.world.journal.note(
                    self.name, f"told {verb}", order.order_id, f"{200 if settled else 202} {shown.status}"
                )
            return

    async def look(self, order: Order, until: Status | None = None) -> None:
        """Poll the order a few times, or until it is what the device waits for."""
        for _ in range(self.rng.randint(0, 3) if until is None else LOOKS):
            await asyncio.sleep(self.rng.uniform(0.1, 2.0))
            shown = await self.ask(
                "look",
                self.world.gateway(),
                lambda deps: orders.get_of_device(deps.db, order.order_id, self.user_id),
                order.order_id,
            )
            if shown is not None and not isinstance(shown, Refused):
                self._told("look", shown, settled=True)
                if shown.status is until or (until and shown.status in TERMINAL):
                    return

    async def ask(
        self, verb: str, gateway: Gateway, request: Callable[[Deps], Coroutine[Any, Any, T]], order_id: UUID | None
    ) -> T | Refused | None:
        """Make one request; None if there was no clear answer (503, a dead gateway, or patience at its end)."""
        self.world.journal.note(self.name, verb, order_id, f"at {gateway.life.name}")
        try:
            async with asyncio.timeout(HANDLER_S):
                return await gateway.ask(request)
        except Refused as refusal:
            self.world.journal.note(self.name, f"refused {verb}", order_id, refusal.code)
            return refusal
        except (Exception, Killed) as trouble:  # noqa: BLE001 - anything else is a 500 here, and noted as a bug by the world
            self.world.journal.note(self.name, f"unanswered {verb}", order_id, type(trouble).__name__)
        await asyncio.sleep(self.rng.choice((0.05, 0.5)))
        return None

    def _errand(self) -> tuple[tuple[Want, ...], bool, str | None]:
        """Return a basket, whether a part of it would do, and its key: sometimes one that named this basket before, or another."""
        one, two = self.rng.sample(SKUS, 2)
        wants = (Want(one, self.rng.randint(1, 3)), Want(two, self.rng.randint(1, 3)))
        partial, chance = self.rng.random() < 0.2, self.rng.random()
        if self.keys and chance < 0.25:
            key, before, in_part = self.rng.choice(self.keys)
            return (before[::-1], in_part, key) if chance < 0.17 else ((*wants, Want(one, 1)), partial, key)
        if chance > 0.9:
            return wants, partial, None
        key = f"k{len(self.keys)}"
        self.keys.append((key, wants, partial))
        return wants, partial, key

    def _told(
        self, verb: str, order: Order, *, settled: bool, wants: tuple[Want, ...] = (), key: str | None = None
    ) -> None:
        order_out(order)  # what the device is shown must be sayable
        self.world.told.append(Told(verb, order, settled, self.user_id, wants, key))


def _alike(one: Basket | None, two: Basket) -> bool:
    """Whether two baskets are the same to a person, in whatever order."""
    return (
        one is not None
        and sorted(map(repr, one.wants)) == sorted(map(repr, two.wants))
        and one.allow_partial == two.allow_partial
    )


async def both(*verbs: Awaitable[None]) -> None:
    await asyncio.gather(*verbs)
