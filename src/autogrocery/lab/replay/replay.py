"""Demand played against a running gateway: every basket by its own household's device, each order watched to its end."""

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
    from autogrocery.lab.demand.demand import Demand
    from autogrocery.lab.demand.market import Basket
    from autogrocery.lab.replay.fleet import Fleet
    from autogrocery.lab.replay.trucks import Trucks

Plan = Literal["buy", "confirm again", "cancel the preview", "cancel the order", "walk away"]
HUNDRED: Final = 100
CONFIRMS: Final = 3  # by a customer who presses the button again and again
IN_FLIGHT: Final = 256
LOOKING_AT_ONCE: Final = 16
LOOKED_WITHIN_S: Final = 120.0  # at the end, for all of them together, and LOOK_S more for each
LOOK_S: Final = 0.02
FINISH_WITHIN_S: Final = 120.0  # from confirm to the last pick, restarts of everything included
EXPIRE_WITHIN_S: Final = 60.0  # after the end of the hold
EMPTY_SHELF: Final = frozenset({"insufficient_stock", "unknown_sku"})
MOST_VISITS: Final = 7  # of one who does not find everything; trucks need some seconds


class Trip(Struct, frozen=True):
    """What became of one basket: an order, or why there is none. `refused` is a problem's code, `order` the last look.

    `visits` counts how often its customer came: more than once after an empty shelf that a truck may fill.
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
        """One word for the table: the order's status, or what stood in its way."""
        if self.order is not None:
            return str(self.order.status)
        return f"refused: {self.refused}" if self.refused is not None else "unanswered"


class Witness(Struct, frozen=True):
    """One order as the gateway tells it once all is quiet, with its history; no order if it denies it or is silent."""

    order_id: str
    order: Order | None
    events: list[OrderEvent]


class Run(Struct, frozen=True):
    """A whole replay; `took_s` runs from the first basket to the last order's end."""

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
    thinks_s: Callable[[int, int], float] = lambda _seed, _number: 0.0,
    trucks: Trucks | None = None,
) -> Run:
    """Play the demand at `rate` orders a second on average, in the rhythm of its own times, and wait for every order's end.

    `run_name` sets this run's orders apart from those of another run by the same devices: the same name asks for the
    same orders again. `plans(seed, number)` decides what each customer does, else three of a hundred cancel and one walks
    away; `thinks_s(seed, number)` is how long one looks at the quote first. With `trucks`, what is sold or missing is brought, and
    who finds a shelf empty comes back a few times. Never raises for what the gateway does: refusals and silence are outcomes.
    `show` is called with the outcomes so far at every change.
    """
    started_at = time.monotonic()
    outcomes: Counter[str] = Counter()
    places = asyncio.Semaphore(IN_FLIGHT)
    trips: list[Trip] = []

    async def walk(number: int, basket: Basket) -> None:
        try:
            plan, think_s = (plans or plan_of)(seed, number), thinks_s(seed, number)
            trip = await _shop(fleet, basket, plan, f"{run_name}-{number}", think_s, trucks)
        finally:
            places.release()
        trips.append(trip)
        outcomes[trip.outcome] += 1
        show(outcomes)

    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.enrol())
        for number, (basket, due_s) in enumerate(zip(demand.baskets, due_times_s(demand, rate), strict=True)):
            await asyncio.sleep(max(0.0, started_at + due_s - time.monotonic()))
            await places.acquire()
            group.create_task(walk(number, basket))
    return Run(trips, time.monotonic() - started_at)


def due_times_s(demand: Demand, rate: float) -> list[float]:
    """Squeeze the demand's own rhythm so that `rate` orders a second come on average. Raises ValueError for rate ≤ 0."""
    if rate <= 0:
        raise ValueError("the rate of a replay is a positive number of orders a second")
    span_s = demand.baskets[-1].at_offset_s
    if span_s <= 0:
        return [number / rate for number in range(len(demand.baskets))]
    return [basket.at_offset_s / span_s * len(demand.baskets) / rate for basket in demand.baskets]


def plan_of(seed: int, number: int) -> Plan:
    """Decide what the customer of this basket will do: of every hundred three cancel and one walks away, by seed."""
    hundred, place = divmod(number, HUNDRED)
    early, late, third, away = random.Random(f"plan/{seed}/{hundred}").sample(range(HUNDRED), 4)
    plans: dict[int, Plan] = {
        early: "cancel the preview",
        late: "cancel the order",
        third: "cancel the order" if hundred % 2 else "cancel the preview",
        away: "walk away",
    }
    return plans.get(place, "buy")


async def look_again(fleet: Fleet, run: Run) -> list[Witness]:
    """Ask for every order of the run once more, with its history; nothing is known of one that was not told in time."""
    places = asyncio.Semaphore(LOOKING_AT_ONCE)
    known = [(trip.basket.household, trip.order_id) for trip in run.trips if trip.order_id is not None]
    ends_at = asyncio.get_running_loop().time() + LOOKED_WITHIN_S + LOOK_S * len(known)

    async def look(household: int, order_id: str) -> Witness:
        kiosk = fleet.device(household)
        try:
            async with asyncio.timeout_at(ends_at), places:
                order = await kiosk.order(order_id)
                return Witness(order_id, order, await kiosk.events(order_id))
        except (Problem, Unanswered, TimeoutError):
            return Witness(order_id, None, [])

    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(look(household, order_id)) for household, order_id in known]
    return [task.result() for task in looks]


async def _shop(
    fleet: Fleet, basket: Basket, plan: Plan, basket_id: str, think_s: float, trucks: Trucks | None
) -> Trip:
    trip = Trip(basket, plan)
    try:
        kiosk = await fleet.ready(basket.household)
        while (order := await _quoted(fleet, kiosk, trip, basket_id, trucks)) is None:
            await asyncio.sleep(trucks.come_back_s * trip.visits if trucks is not None else 0.0)
            trip = replace(trip, visits=trip.visits + 1)
    except Problem as problem:
        return replace(trip, refused=problem.code)
    except Unanswered as silence:
        return replace(trip, unanswered=str(silence))
    trip = replace(trip, order_id=order.order_id, order=order)
    try:
        await asyncio.sleep(think_s)
        await _decide(fleet, kiosk, order, plan)
        order = await kiosk.finished(order.order_id, _patience_for(order, plan))
    except (Problem, Unanswered) as trouble:
        return replace(trip, unanswered=str(trouble))
    if order.status == "COMPLETED":
        _leave(fleet, order, trucks)
    return replace(trip, order=order)


async def _quoted(fleet: Fleet, kiosk: Kiosk, trip: Trip, basket_id: str, trucks: Trucks | None) -> Order | None:
    """Ask for a quote; None if something is missing that a truck may bring until the customer comes back."""
    started_at = time.monotonic()
    items = [Item(line.sku, line.quantity) for line in trip.basket.lines]
    try:
        order = await kiosk.preview(items, basket_id=basket_id)
    except Problem as problem:
        if trucks is None or problem.code not in EMPTY_SHELF:
            raise
        trucks.missed(items, problem)
        if trip.visits == MOST_VISITS:
            raise
        return None
    fleet.timings.add("preview", started_at)
    return order


def _leave(fleet: Fleet, order: Order, trucks: Trucks | None) -> None:
    if order.confirmed_at is not None and order.finished_at is not None:
        fleet.timings.add_ms("pick", (order.finished_at - order.confirmed_at).total_seconds() * 1000)
    if trucks is not None:
        trucks.sold(order)


async def _decide(fleet: Fleet, kiosk: Kiosk, order: Order, plan: Plan) -> None:
    """Do what the customer planned. A refusal ends the plan, not the order: that one is watched to its end all the same."""
    steps = {
        "buy": (("confirm", kiosk.confirm),),
        "confirm again": (("confirm", kiosk.confirm),) * CONFIRMS,
        "cancel the preview": (("cancel", kiosk.cancel),),
        "cancel the order": (("confirm", kiosk.confirm), ("cancel", kiosk.cancel)),
        "walk away": (),
    }
    for step, ask in steps[plan]:
        started_at = time.monotonic()
        try:
            await ask(order.order_id)
        except Problem:
            return
        fleet.timings.add(step, started_at)


def _patience_for(order: Order, plan: Plan) -> float:
    if plan == "walk away" and order.expires_at is not None:
        return (order.expires_at - order.created_at).total_seconds() + EXPIRE_WITHIN_S
    return FINISH_WITHIN_S
