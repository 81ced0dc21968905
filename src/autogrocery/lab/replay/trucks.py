"""Suppliers' trucks: they restock what was sold and what customers found out of stock."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import Problem, Truck, Unanswered
from autogrocery.lab.demand.baskets import AisleType  # noqa: TC001 - msgspec reads the annotation
from autogrocery.lab.demand.supply import CASE_UNITS, MAX_LINES_OF_MANIFEST, SUPPLIERS, in_cases, manifest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import aiohttp

    from autogrocery.client import Item, Manifest, Order, Restock, RestockResponse, RetryLimits
    from autogrocery.lab.demand.demand import Demand

ROUND_S: Final = 1.5  # between two deliveries of one supplier
REVISIT_S: Final = 2.0  # how long a customer waits after the first visit; longer after each further one
MIN_LOAD_UNITS: Final = 12  # a smaller delivery is sent only if a customer waits for it
CONCURRENT_DELIVERIES: Final = 2  # of one supplier; the next one waits
PUTAWAY_TIMEOUT_S: Final = 120.0
TRIES: Final = 3


class TruckLogin(Struct, frozen=True):
    """One supplier's truck: its aisle and its login."""

    device_id: str
    password: str
    aisle_type: AisleType


class TruckDelivery(Struct, frozen=True):
    """The result of one manifest: the restock as last read, or why there is none."""

    manifest_no: str
    restock: Restock | None = None
    refused: str | None = None
    unanswered: str | None = None


class Trucks:
    """All suppliers of a replay. `responses` are all 2xx responses to the trucks.

    `_wanted` counts units to bring by aisle and SKU, `_on_order` those wanted or being delivered. `_sold_not_ordered`
    counts sold units that do not fill a case yet; below zero, a case brought more than was wanted.
    """

    def __init__(
        self,
        trucks: dict[AisleType, Truck],
        responses: list[RestockResponse],
        demand: Demand,
        run_name: str,
        *,
        round_s: float = ROUND_S,
        revisit_s: float = REVISIT_S,
    ) -> None:
        """`trucks` are by aisle; `responses` is a list that their clients append to."""
        self.revisit_s = revisit_s
        self._round_s = round_s
        self.deliveries: list[TruckDelivery] = []
        self.responses = responses
        self._trucks = trucks
        self._products = {product.sku: product for product in demand.products}
        self._run_name = run_name
        self._wanted: dict[AisleType, Counter[str]] = {aisle: Counter() for aisle in trucks}
        self._on_order: Counter[str] = Counter()
        self._sold_not_ordered: Counter[str] = Counter()
        self._urgent: set[AisleType] = set()
        self._number = 0

    def record_sale(self, order: Order) -> None:
        """Record the units of a completed order as sold, and order whole cases of them."""
        for line in order.items:
            units = self._sold_not_ordered[line.sku] + line.quantity
            cases = max(0, units // CASE_UNITS * CASE_UNITS)
            self._sold_not_ordered[line.sku] = units - cases
            self._order(line.sku, cases)

    def record_shortage(self, items: Iterable[Item], problem: Problem) -> None:
        """Order what a basket of `items` found out of stock, less what is on order already."""
        quantities: Counter[str] = Counter()
        for item in items:
            quantities[item.sku] += item.quantity
        for error in problem.errors:
            sku = error.get("sku")
            if isinstance(sku, str) and sku in quantities:
                missing = quantities[sku] - int(error.get("available") or 0) - self._on_order[sku]
                self._order(sku, missing)
                self._urgent |= self._aisle(sku)

    def _order(self, sku: str, units: int) -> None:
        for aisle in self._aisle(sku):
            if units > 0:
                self._wanted[aisle][sku] += units
                self._on_order[sku] += units

    def _aisle(self, sku: str) -> set[AisleType]:
        """Return the aisle of a product as a set; empty if no truck serves that aisle."""
        product = self._products.get(sku)
        return {product.aisle_type} & self._wanted.keys() if product is not None else set()

    async def drive(self, done: asyncio.Event) -> None:
        """Send deliveries until `done`; return when the last one is finished."""
        async with asyncio.TaskGroup() as group:
            for aisle in self._trucks:
                group.create_task(self._supply(aisle, done))

    async def _supply(self, aisle: AisleType, done: asyncio.Event) -> None:
        unloading_slots = asyncio.Semaphore(CONCURRENT_DELIVERIES)
        async with asyncio.TaskGroup() as group:
            while not done.is_set():
                if self._wanted[aisle] and (aisle in self._urgent or self._wanted[aisle].total() >= MIN_LOAD_UNITS):
                    await unloading_slots.acquire()
                    group.create_task(self._deliver(aisle, self._take_load(aisle), unloading_slots))
                await _pause(done, self._round_s)

    def _take_load(self, aisle: AisleType) -> dict[str, int]:
        """Take the most wanted SKUs, as many as one manifest holds, in whole cases."""
        wanted = self._wanted[aisle]
        load = {sku: in_cases(units) for sku, units in wanted.most_common(MAX_LINES_OF_MANIFEST)}
        for sku, units in load.items():
            surplus = units - wanted.pop(sku)
            self._on_order[sku] += surplus
            self._sold_not_ordered[sku] -= surplus
        if not wanted:
            self._urgent.discard(aisle)
        return load

    async def _deliver(self, aisle: AisleType, load: dict[str, int], unloading_slots: asyncio.Semaphore) -> None:
        """Announce one manifest and follow it until it is put away."""
        self._number += 1
        truck, manifest_no = self._trucks[aisle], f"{self._run_name}-{self._number}"
        today = datetime.now(UTC).date()
        manifest = manifest_of(SUPPLIERS[aisle], manifest_no, load, self._products, today)
        try:
            self.deliveries.append(await _announce_and_follow(truck, manifest, manifest_no))
        finally:
            self._on_order.subtract(load)
            unloading_slots.release()


async def _announce_and_follow(truck: Truck, manifest: Manifest, manifest_no: str) -> TruckDelivery:
    """Announce a manifest and follow it to its end; without an answer, announce it again, which is idempotent."""
    no_answer = ""
    for _ in range(TRIES):
        try:
            restock = await truck.restock(manifest)
            return TruckDelivery(manifest_no, await truck.finished(restock.order_id, PUTAWAY_TIMEOUT_S))
        except Problem as problem:
            return TruckDelivery(manifest_no, refused=problem.code)
        except Unanswered as unanswered:
            no_answer = str(unanswered)
    return TruckDelivery(manifest_no, unanswered=no_answer)


async def _pause(done: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), seconds)


@asynccontextmanager
async def run_trucks(
    url: str,
    logins: Iterable[TruckLogin],
    demand: Demand,
    run_name: str,
    *,
    session: aiohttp.ClientSession | None = None,
    retry_limits: RetryLimits | None = None,
    round_s: float = ROUND_S,
    revisit_s: float = REVISIT_S,
) -> AsyncIterator[Trucks]:
    """Open a truck for each login and send deliveries while the block runs; leaving waits for the last one."""
    async with AsyncExitStack() as stack:
        trucks: dict[AisleType, Truck] = {}
        responses: list[RestockResponse] = []
        for login in logins:
            truck = Truck(
                url,
                login.device_id,
                login.password,
                session=session,
                retry_limits=retry_limits,
                on_response=responses.append,
            )
            trucks[login.aisle_type] = await stack.enter_async_context(truck)
        fleet = Trucks(trucks, responses, demand, run_name, round_s=round_s, revisit_s=revisit_s)
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.drive(done))
            yield fleet
            done.set()
