"""A device: it previews, confirms, cancels, retries or gives up, and records every acknowledgement."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import PreviewRequest, PreviewResult, preview, preview_request
from autogrocery.gateway.core.order import TERMINAL, Status
from autogrocery.gateway.core.quote import RequestedItem, order_id_of
from autogrocery.gateway.store import orders
from autogrocery.gateway.wire.orders import order_out
from autogrocery.kit.errors import Refused
from autogrocery.kit.process.faults import SimulatedDeath
from tests.proofs.simulation.plan import SKUS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.deps import Deps
    from tests.proofs.simulation.gateway import Gateway
    from tests.proofs.simulation.world import World

T = TypeVar("T")
REQUEST_DEADLINE_S = 5.0
MAX_TRIES = 4
MAX_POLLS = 8


class Acknowledgement(Struct, frozen=True):
    """A 2xx response: the request, the order in it, and whether it is settled (200) or in doubt (202)."""

    verb: str
    order: Order
    settled: bool
    user_id: int
    wants: tuple[RequestedItem, ...] = ()
    key: str | None = None


class Device:
    """One device and its requests."""

    def __init__(self, world: World, user_id: int) -> None:
        self.world = world
        self.user_id = user_id
        self.rng = world.rng
        self.keys: list[tuple[str, tuple[RequestedItem, ...], bool]] = []
        self.quoted_by_key: dict[str, PreviewRequest] = {}  # by key
        self.name = f"device {user_id}"

    async def run(self, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        for _ in range(self.rng.randint(1, 4)):
            await asyncio.sleep(self.rng.uniform(0.0, 4.0))
            order = await self.preview()
            if order is not None:
                await self.act_on(order)

    async def preview(self) -> Order | None:
        """Preview a basket, retried without a clear response; None if it was refused."""
        wants, partial, key = self._draw_basket()
        order_id = order_id_of(self.user_id, key) if key else None
        requested = preview_request(self.user_id, wants, allow_partial=partial, key=key)

        for _ in range(MAX_TRIES):
            gateway = self.world.gateway()
            answer = await self.request("preview", gateway, self._preview(requested, gateway), order_id)
            if answer is None:
                if key and self.rng.random() < 0.2:
                    requested = preview_request(
                        self.user_id, [*wants[1:], RequestedItem("olive", 1)], allow_partial=partial, key=key
                    )
                continue
            if isinstance(answer, Refused):
                if key and _alike(self.quoted_by_key.get(key), requested) and answer.code == "idempotency_mismatch":
                    self.world.harms.append(f"the same basket under its key was called another: {key} of {self.name}")
                return None
            order, replayed = answer.order, answer.replayed
            if key:
                self.quoted_by_key[key] = requested
            self.world.trace.note(self.name, "answered preview", order.order_id, "replayed" if replayed else "new")
            self._acknowledge("preview", order, settled=True, wants=requested.items, key=key)
            if not replayed:
                gateway.after_response(self.user_id)
            return order
        return None

    def _preview(
        self, requested: PreviewRequest, gateway: Gateway
    ) -> Callable[[Deps], Coroutine[Any, Any, PreviewResult]]:
        ttl_s, switches = self.world.plan.ttl_s, self.world.switches(gateway)
        return lambda deps: preview(
            deps.orders, deps.inventory, deps.pricing, deps.metrics, requested, ttl_s=ttl_s, switches=switches
        )

    async def act_on(self, order: Order) -> None:
        """Confirm, cancel or leave a quote, as drawn."""
        ending = self.rng.choice(self.world.plan.endings)
        self.world.trace.note(self.name, f"means to {ending}", order.order_id)
        if ending == "walk away":
            await self.world.send_false_webhook(order)
            return
        left_s = (order.expires_at - self.world.now()).total_seconds()
        if ending == "last second":
            await asyncio.sleep(max(0.0, left_s + self.rng.uniform(-0.4, 0.05)))
        else:
            await asyncio.sleep(self.rng.choice((0.0, 0.3, 1.0)))
        match ending:
            case "twice":
                await both(self.confirm_or_cancel("confirm", order), self.confirm_or_cancel("confirm", order))
            case "race":
                await both(self.confirm_or_cancel("confirm", order), self.confirm_or_cancel("cancel", order))
            case "regret":
                await self.confirm_or_cancel("confirm", order)
                await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.5, 3.0)))
                await self.confirm_or_cancel("cancel", order)
            case "late regret":
                await self.confirm_or_cancel("confirm", order)
                await self.poll(order, until=Status.PROCESSING)
                await self.confirm_or_cancel("cancel", order)
            case "cancel":
                await self.confirm_or_cancel("cancel", order)
            case _:
                await self.confirm_or_cancel("confirm", order)
        await self.poll(order)

    async def confirm_or_cancel(self, verb: str, order: Order) -> None:
        """Confirm or cancel, retried without a clear response."""
        for _ in range(MAX_TRIES):
            gateway = self.world.gateway()
            action = partial(confirm, switches=self.world.switches(gateway)) if verb == "confirm" else cancel
            answer = await self.request(
                verb,
                gateway,
                lambda deps, action=action: action(
                    deps.orders, deps.inventory, deps.metrics, self.user_id, order.order_id
                ),
                order.order_id,
            )
            if answer is None:
                continue
            if not isinstance(answer, Refused):
                shown, settled = answer.order, not answer.in_doubt
                self._acknowledge(verb, shown, settled=settled)
                self.world.trace.note(
                    self.name, f"answered {verb}", order.order_id, f"{200 if settled else 202} {shown.status}"
                )
            return

    async def poll(self, order: Order, until: Status | None = None) -> None:
        """Poll the order MAX_POLLS times, or until it has the awaited status."""
        for _ in range(self.rng.randint(0, 3) if until is None else MAX_POLLS):
            await asyncio.sleep(self.rng.uniform(0.1, 2.0))
            shown = await self.request(
                "look",
                self.world.gateway(),
                lambda deps: orders.get_of_device(deps.db, order.order_id, self.user_id),
                order.order_id,
            )
            if shown is not None and not isinstance(shown, Refused):
                self._acknowledge("look", shown, settled=True)
                if shown.status is until or (until and shown.status in TERMINAL):
                    return

    async def request(
        self, verb: str, gateway: Gateway, request: Callable[[Deps], Coroutine[Any, Any, T]], order_id: UUID | None
    ) -> T | Refused | None:
        """Send one request; None without a clear response (503, a crashed gateway, or the deadline passed)."""
        self.world.trace.note(self.name, verb, order_id, f"at {gateway.process.name}")
        try:
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                return await gateway.request(request)
        except Refused as refusal:
            self.world.trace.note(self.name, f"refused {verb}", order_id, refusal.code)
            return refusal
        except (Exception, SimulatedDeath) as trouble:  # noqa: BLE001 - anything else is a 500 here, and noted as a bug by the world
            self.world.trace.note(self.name, f"unanswered {verb}", order_id, type(trouble).__name__)
        await asyncio.sleep(self.rng.choice((0.05, 0.5)))
        return None

    def _draw_basket(self) -> tuple[tuple[RequestedItem, ...], bool, str | None]:
        """Return a basket, allow_partial, and a key: sometimes one used before, for this basket or another."""
        one, two = self.rng.sample(SKUS, 2)
        wants = (RequestedItem(one, self.rng.randint(1, 3)), RequestedItem(two, self.rng.randint(1, 3)))
        partial, chance = self.rng.random() < 0.2, self.rng.random()
        if self.keys and chance < 0.25:
            key, before, in_part = self.rng.choice(self.keys)
            return (before[::-1], in_part, key) if chance < 0.17 else ((*wants, RequestedItem(one, 1)), partial, key)
        if chance > 0.9:
            return wants, partial, None
        key = f"k{len(self.keys)}"
        self.keys.append((key, wants, partial))
        return wants, partial, key

    def _acknowledge(
        self, verb: str, order: Order, *, settled: bool, wants: tuple[RequestedItem, ...] = (), key: str | None = None
    ) -> None:
        order_out(order)  # the response must be encodable
        self.world.acknowledged.append(Acknowledgement(verb, order, settled, self.user_id, wants, key))


def _alike(one: PreviewRequest | None, two: PreviewRequest) -> bool:
    """Whether two baskets have the same items in any order."""
    return (
        one is not None
        and sorted(map(repr, one.items)) == sorted(map(repr, two.items))
        and one.allow_partial == two.allow_partial
    )


async def both(*verbs: Awaitable[None]) -> None:
    await asyncio.gather(*verbs)
