"""Replay demand against a running gateway: each basket on its household's device, each order followed to its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client import Event as OrderEvent
from autogrocery.client import Item, Order, Problem, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.client import Kiosk
    from autogrocery.lab.demand.baskets import Basket
    from autogrocery.lab.demand.demand import Demand
    from autogrocery.lab.replay.fleet import Fleet
    from autogrocery.lab.replay.trucks import Trucks

Plan = Literal["buy", "confirm again", "cancel the preview", "cancel the order", "abandon"]
HUNDRED: Final = 100
CONFIRMS: Final = 3  # by a customer who presses the button repeatedly
IN_FLIGHT: Final = 256
CONCURRENT_READS: Final = 16
READ_TIMEOUT_S: Final = 120.0  # for all orders together, plus READ_S for each
READ_S: Final = 0.02
FINISH_TIMEOUT_S: Final = 120.0  # from confirm to the last pick, restarts included
EXPIRY_TIMEOUT_S: Final = 60.0  # after the hold's expiry
OUT_OF_STOCK: Final = frozenset({"insufficient_stock", "unknown_sku"})
MAX_VISITS: Final = 7  # of a customer who finds something out of stock; trucks need some seconds


class Trip(Struct, frozen=True):
    """The result of one basket: an order, or why there is none. `refused` is a problem's code, `order` the last state.

    `visits` counts the previews: more than one if goods were out of stock that a truck might bring.
    """

    basket: Basket
    plan: Plan
    order_id: str | None = None
    order: Order | None = None
    refused: str | None = None
    unanswered: str | None = None
    visits: int = 1

    @property
    def outcome(self) -> str:
        """The order's status, `refused: CODE`, or `unanswered`."""
        if self.order is not None:
            return str(self.order.status)
        return f"refused: {self.refused}" if self.refused is not None else "unanswered"


class FinalOrder(Struct, frozen=True):
    """An order as read at the end, with its history; no order if the gateway did not return it."""

    order_id: str
    order: Order | None
    events: list[OrderEvent]


class Run(Struct, frozen=True):
    """A whole replay; `took_s` lasts from the first basket to the end of the last order."""

    trips: list[Trip]
    took_s: float


async def replay(
    fleet: Fleet,
    demand: Demand,
    rate: float,
    *,
    seed: int = 1,
    run_name: str,
    show: Callable[[Counter[str]], None] = lambda _outcomes: None,
    plans: Callable[[int, int], Plan] | None = None,
    think_time_s: Callable[[int, int], float] = lambda _seed, _number: 0.0,
    trucks: Trucks | None = None,
) -> Run:
    """Replay the demand at `rate` orders a second on average, in its own rhythm; wait for the end of every order.

    `run_name` is part of the idempotency keys: the same name from the same devices asks for the same orders again.
    `plans(seed, number)` chooses each customer's plan, `plan_of` by default; `think_time_s(seed, number)` is the pause
    between preview and confirm. With `trucks`, what is sold or missing is restocked, and a customer who finds something
    out of stock returns a few times. `show` is called with the outcomes at every change. Never raises for what the
    gateway does: refusals and missing answers are outcomes.
    """
    started_at = time.monotonic()
    outcomes: Counter[str] = Counter()
    slots = asyncio.Semaphore(IN_FLIGHT)
    trips: list[Trip] = []

    async def run_basket(number: int, basket: Basket) -> None:
        try:
            plan, think_s = (plans or plan_of)(seed, number), think_time_s(seed, number)
            trip = await _play_basket(fleet, basket, plan, f"{run_name}-{number}", think_s, trucks)
        finally:
            slots.release()
        trips.append(trip)
        outcomes[trip.outcome] += 1
        show(outcomes)

    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.enrol())
        for number, (basket, due_s) in enumerate(zip(demand.baskets, due_times_s(demand, rate), strict=True)):
            await asyncio.sleep(max(0.0, started_at + due_s - time.monotonic()))
            await slots.acquire()
            group.create_task(run_basket(number, basket))
    return Run(trips, time.monotonic() - started_at)


def due_times_s(demand: Demand, rate: float) -> list[float]:
    """Return when each basket is due, in seconds: its own times, scaled to `rate` orders a second on average.

    Raises ValueError for rate ≤ 0.
    """
    if rate <= 0:
        raise ValueError("the rate of a replay is a positive number of orders a second")
    span_s = demand.baskets[-1].at_offset_s
    if span_s <= 0:
        return [number / rate for number in range(len(demand.baskets))]
    return [basket.at_offset_s / span_s * len(demand.baskets) / rate for basket in demand.baskets]


def plan_of(seed: int, number: int) -> Plan:
    """Return the plan of a basket: of every hundred, by seed, three cancel, one abandons the quote, the others buy."""
    hundred, place = divmod(number, HUNDRED)
    early, late, third, abandons = random.Random(f"plan/{seed}/{hundred}").sample(range(HUNDRED), 4)
    plans: dict[int, Plan] = {
        early: "cancel the preview",
        late: "cancel the order",
        third: "cancel the order" if hundred % 2 else "cancel the preview",
        abandons: "abandon",
    }
    return plans.get(place, "buy")


async def read_final_orders(fleet: Fleet, run: Run, timeout_s: float = READ_TIMEOUT_S) -> list[FinalOrder]:
    """Read every order of the run with its history; one that is not returned in time has no order.

    The time limit for all of them is `timeout_s` and READ_S for each.
    """
    slots = asyncio.Semaphore(CONCURRENT_READS)
    known = [(trip.basket.household, trip.order_id) for trip in run.trips if trip.order_id is not None]
    ends_at = asyncio.get_running_loop().time() + timeout_s + READ_S * len(known)

    async def read(household: int, order_id: str) -> FinalOrder:
        kiosk = fleet.device(household)
        try:
            async with asyncio.timeout_at(ends_at), slots:
                order = await kiosk.order(order_id)
                return FinalOrder(order_id, order, await kiosk.events(order_id))
        except (Problem, Unanswered, TimeoutError):
            return FinalOrder(order_id, None, [])

    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(read(household, order_id)) for household, order_id in known]
    return [task.result() for task in reads]


async def _play_basket(
    fleet: Fleet, basket: Basket, plan: Plan, basket_id: str, think_s: float, trucks: Trucks | None
) -> Trip:
    trip = Trip(basket, plan)
    try:
        kiosk = await fleet.ready(basket.household)
        while (order := await _preview(fleet, kiosk, trip, basket_id, trucks)) is None:
            await asyncio.sleep(trucks.revisit_s * trip.visits if trucks is not None else 0.0)
            trip = replace(trip, visits=trip.visits + 1)
    except Problem as problem:
        return replace(trip, refused=problem.code)
    except Unanswered as silence:
        return replace(trip, unanswered=str(silence))
    trip = replace(trip, order_id=order.order_id, order=order)
    try:
        await asyncio.sleep(think_s)
        await _carry_out(fleet, kiosk, order, plan)
        order = await kiosk.finished(order.order_id, _timeout_for(order, plan))
    except (Problem, Unanswered) as error:
        return replace(trip, unanswered=str(error))
    if order.status == "COMPLETED":
        _record_completed(fleet, order, trucks)
    return replace(trip, order=order)


async def _preview(fleet: Fleet, kiosk: Kiosk, trip: Trip, basket_id: str, trucks: Trucks | None) -> Order | None:
    """Preview; None if something is out of stock that a truck may bring until the customer returns."""
    started_at = time.monotonic()
    items = [Item(line.sku, line.quantity) for line in trip.basket.lines]
    try:
        order = await kiosk.preview(items, basket_id=basket_id)
    except Problem as problem:
        if trucks is None or problem.code not in OUT_OF_STOCK:
            raise
        trucks.record_shortage(items, problem)
        if trip.visits == MAX_VISITS:
            raise
        return None
    fleet.timings.add("preview", started_at)
    return order


def _record_completed(fleet: Fleet, order: Order, trucks: Trucks | None) -> None:
    if order.confirmed_at is not None and order.finished_at is not None:
        fleet.timings.add_ms("pick", (order.finished_at - order.confirmed_at).total_seconds() * 1000)
    if trucks is not None:
        trucks.record_sale(order)


async def _carry_out(fleet: Fleet, kiosk: Kiosk, order: Order, plan: Plan) -> None:
    """Carry out the plan. A refusal ends the plan; the order is followed to its end all the same."""
    steps = {
        "buy": (("confirm", kiosk.confirm),),
        "confirm again": (("confirm", kiosk.confirm),) * CONFIRMS,
        "cancel the preview": (("cancel", kiosk.cancel),),
        "cancel the order": (("confirm", kiosk.confirm), ("cancel", kiosk.cancel)),
        "abandon": (),
    }
    for step, call in steps[plan]:
        started_at = time.monotonic()
        try:
            await call(order.order_id)
        except Problem:
            return
        fleet.timings.add(step, started_at)


def _timeout_for(order: Order, plan: Plan) -> float:
    if plan == "abandon" and order.expires_at is not None:
        return (order.expires_at - order.created_at).total_seconds() + EXPIRY_TIMEOUT_S
    return FINISH_TIMEOUT_S
