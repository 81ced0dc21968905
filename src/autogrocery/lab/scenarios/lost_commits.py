"""The database commits, and the answer to COMMIT is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.lab.fault_proxy import NO_FAULTS, NetworkFaults
from autogrocery.lab.scenarios.environment import ScenarioResult, checked, skipped
from autogrocery.lab.scenarios.fresh_products import Assignment, FreshProducts, stock_fresh_products
from autogrocery.lab.scenarios.rules import (
    contradictions,
    count_retries,
    stock_mismatches,
    unexpected_answers,
    unfinished_orders,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.fault_proxy import FaultProxy
    from autogrocery.lab.scenarios.context import ScenarioContext
    from autogrocery.lab.scenarios.device import Device, DeviceCall, OrderEnd

NAME: Final = "lost-commits"
PROMISE: Final = (
    "A call whose COMMIT was not answered is repeated at another gateway and finds the one same order,"
    " dispatched once at most."
)
STEPS: Final = ("preview", "confirm", "cancel")
ORDERS: Final = 60  # for each step
CONCURRENT: Final = 10  # calls in progress when replies begin to be dropped, each at another point
PREVIEW_S: Final = 0.01  # about what a preview takes before its one commit
MAX_CALL_S: Final = 0.5
DROP_AFTER: Final = (0.8, 1.5)  # multiples of a call's duration: most calls are past their first read
DROP_S: Final = 0.3  # long enough for the commits in progress
EXPECTED: Final[Mapping[str, frozenset[str]]] = {
    "preview": frozenset({"201"}),
    "confirm": frozenset({"200", "410 hold_expired"}),
    "cancel": frozenset({"200", "410 hold_expired"}),
}
DONE: Final[Mapping[str, frozenset[str]]] = {
    "preview": frozenset({"PREVIEWED"}),
    "confirm": frozenset({"PROCESSING", "COMPLETED", "FAILED"}),
    "cancel": frozenset({"releasing", "CANCELLED"}),
}


class LostCall(Struct, frozen=True):
    """One call: answered while replies were dropped, then repeated at the other gateway and at the first one.

    `seen` is the order's status before the call was repeated ("releasing" while its release is owed), `order_ids` every
    order that this device created, `dispatch` its assignments in inventory.
    """

    step: str
    first: DeviceCall
    seen: str = ""
    repeated: tuple[DeviceCall, ...] = ()
    order_ids: frozenset[str] = frozenset()
    end: OrderEnd | None = None
    dispatch: frozenset[Assignment] = frozenset()

    @property
    def lost(self) -> bool:
        """Whether the first attempt got no definite answer (none, or 503): it is in doubt."""
        return not self.first.last.definite

    @property
    def committed(self) -> bool:
        """Whether the first attempt was lost although it was committed."""
        return self.lost and self.seen in DONE[self.step]


class LostCalls(Struct, frozen=True):
    """All orders of the scenario, and the units by SKU that were stocked and are available."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    lost_calls: list[LostCall]


def check(observed: LostCalls) -> list[str]:
    """Return every violation of the promise; that no commit lost its answer is one, too: the run has tested nothing."""
    found = []
    for lost_call in observed.lost_calls:
        found += _unexpected_first(lost_call)
        found += unexpected_answers(lost_call.repeated, EXPECTED[lost_call.step])
        order_ids = lost_call.order_ids | {call.order_id for call in (lost_call.first, *lost_call.repeated)} - {""}
        if len(order_ids) != 1:
            found.append(f"{lost_call.step}: {len(order_ids)} orders where there should be one")
        if lost_call.end is None:
            continue
        found += [
            finding
            for call in (lost_call.first, *lost_call.repeated)
            for finding in contradictions(call, lost_call.end)
        ]
        if lost_call.step == "confirm":
            found += _second_dispatch(lost_call, lost_call.end)
    ends = [lost_call.end for lost_call in observed.lost_calls if lost_call.end is not None]
    if not any(lost_call.committed for lost_call in observed.lost_calls):
        found.append("no COMMIT lost its answer: nothing was tested")
    return found + unfinished_orders(ends) + stock_mismatches(observed.stocked, observed.available, ends)


def _unexpected_first(lost_call: LostCall) -> list[str]:
    outcome = lost_call.first.outcome
    expected = (
        outcome.partition(" ")[0] in {"202", "429", "503"}
        or outcome == "no answer"
        or outcome in EXPECTED[lost_call.step]
    )
    return (
        [] if expected else [f"{lost_call.step}: {outcome} while replies were dropped: {lost_call.first.last.detail}"]
    )


def _second_dispatch(lost_call: LostCall, end: OrderEnd) -> list[str]:
    path = [event.to_status for event in end.events]
    answers = [
        {Assignment(robot.assignment_id, robot.robot_id) for robot in call.last.order.robots or ()}
        for call in (lost_call.first, *lost_call.repeated)
        if call.outcome == "200" and call.last.order is not None
    ]
    if path.count("PROCESSING") > 1 or any(answer != lost_call.dispatch for answer in answers):
        return [
            f"order {end.order_id}: dispatched {path.count('PROCESSING')} times, {len(lost_call.dispatch)} assignments"
        ]
    return []


async def play(context: ScenarioContext) -> ScenarioResult:
    """For every step, drop the replies of one gateway's database during calls, then those of the other's."""
    if len(context.environment.database_proxies) < len(context.environment.public_urls):
        return skipped(NAME, PROMISE, "there are no fault proxies between the gateways and PostgreSQL")
    orders = context.of(ORDERS)
    products = await stock_fresh_products(context.environment, NAME, orders * len(STEPS), ("bread",))
    lost_calls: list[LostCall] = []
    windows = [(step, start) for step in STEPS for start in range(0, orders, CONCURRENT)]
    for number, (step, start) in enumerate(windows):
        lost_calls += await _drop_commit_replies(
            context, products, step, context.devices[start : min(start + CONCURRENT, orders)], number % 2
        )
    observed = LostCalls(products.stocked, await products.available(), lost_calls)
    counts = ", ".join(
        f"{step} {sum(one.committed for one in lost_calls if one.step == step)}"
        f" of {sum(one.lost for one in lost_calls if one.step == step)}"
        for step in STEPS
    )
    summary = (
        f"{len(lost_calls)} calls, {sum(one.lost for one in lost_calls)} not answered; of these committed: {counts};"
        f" {count_retries([call for one in lost_calls for call in one.repeated])} attempts repeated"
    )
    return checked(NAME, PROMISE, summary, check(observed))


async def _drop_commit_replies(
    context: ScenarioContext, products: FreshProducts, step: str, devices: list[Device], gateway: int
) -> list[LostCall]:
    """Let `devices` call `gateway`, drop its database's replies at a random moment, and let each repeat its call."""
    basket = dict.fromkeys(products.skus, 1)
    callers = [_Caller(device, step, uuid7().hex, basket) for device in devices]
    call_s = min(MAX_CALL_S, max(await asyncio.gather(*(caller.begin(gateway) for caller in callers))))
    after_s = call_s * context.rng.uniform(*DROP_AFTER)
    dropping = asyncio.create_task(_drop_replies(context.environment.database_proxies[gateway], after_s))
    head_starts = [context.rng.uniform(0.0, call_s) for _ in callers]
    first_calls = await asyncio.gather(
        *(caller.call(gateway, lead_s) for caller, lead_s in zip(callers, head_starts, strict=True))
    )
    await dropping
    return list(
        await asyncio.gather(
            *(_repeat(caller, products, gateway, first) for caller, first in zip(callers, first_calls, strict=True))
        )
    )


async def _drop_replies(proxy: FaultProxy, after_s: float) -> None:
    """Drop PostgreSQL's replies for DROP_S, then reset the connections: the answers are lost for good."""
    await asyncio.sleep(after_s)
    proxy.faults = NetworkFaults(swallow_replies=True)
    try:
        await asyncio.sleep(DROP_S)
    finally:
        proxy.faults = NO_FAULTS
        proxy.reset_all()


class _Caller:
    """One device, its order, and the call that it makes and repeats."""

    def __init__(self, device: Device, step: str, key: str, basket: dict[str, int]) -> None:
        self.device = device
        self.step = step
        self._key = key
        self._basket = basket
        self._order_id = ""
        self.earlier_ids: frozenset[str] = frozenset()

    async def begin(self, gateway: int) -> float:
        """Create the order that is to be confirmed or cancelled; return how long a call takes, in seconds.

        All callers do this at once, so that the gateway's pool has a connection for each when replies are dropped.
        """
        self.earlier_ids = frozenset(await self.device.order_ids(gateway))
        if self.step == "preview":
            return PREVIEW_S
        preview = await self.device.preview(gateway, self._basket, self._key)
        self._order_id = preview.order_id
        return preview.last.took_s

    async def call(self, gateway: int, after_s: float) -> DeviceCall:
        """Make the call once, after `after_s` seconds."""
        await asyncio.sleep(after_s)
        return await self._call(gateway, once=True)

    async def repeat(self, gateway: int) -> DeviceCall:
        """Make the same call until the answer is definite."""
        return await self._call(gateway, once=False)

    async def _call(self, gateway: int, *, once: bool) -> DeviceCall:
        if self.step == "preview":
            return await self.device.preview(gateway, self._basket, self._key, once=once)
        ask = self.device.confirm if self.step == "confirm" else self.device.cancel
        return await ask(gateway, self._order_id, once=once)


async def _repeat(caller: _Caller, products: FreshProducts, gateway: int, first: DeviceCall) -> LostCall:
    other, device = 1 - gateway, caller.device
    new_ids = frozenset(await device.order_ids(other)) - caller.earlier_ids
    before = await device.order(other, next(iter(new_ids))) if new_ids else None
    repeated = (await caller.repeat(other), await caller.repeat(gateway))
    order_id = repeated[0].order_id
    if caller.step == "preview" and order_id:
        await device.cancel(other, order_id)
    end = await device.end(other, order_id) if order_id else None
    order_ids = frozenset(await device.order_ids(gateway)) - caller.earlier_ids
    dispatch = frozenset(await products.dispatch_of(order_id)) if caller.step == "confirm" and order_id else frozenset()
    seen = (before.dispatch if before.dispatch == "releasing" else before.status) if before else ""
    return LostCall(caller.step, first, seen, repeated, order_ids, end, dispatch)
