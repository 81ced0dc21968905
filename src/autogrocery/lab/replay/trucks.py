"""Suppliers' trucks: they hear what was sold and what customers asked for in vain, and bring as much again."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import Problem, Truck, Unanswered
from autogrocery.lab.demand.market import AisleType  # noqa: TC001 - msgspec reads the annotation
from autogrocery.lab.demand.supply import CASE_UNITS, MOST_LINES, SUPPLIERS, in_cases, manifest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import aiohttp

    from autogrocery.client import Item, Manifest, Order, Patience, Restock, ToldRestock
    from autogrocery.lab.demand.demand import Demand

ROUND_S: Final = 1.5  # between two trucks of one supplier
COME_BACK_S: Final = 2.0  # how long a customer waits for a truck after the first visit; longer after each
FULL_LOAD: Final = 12  # units; with less a truck sets out only if somebody waits for it
UNLOADING_AT_ONCE: Final = 2  # trucks of one supplier; the next waits in the yard
PUT_AWAY_WITHIN_S: Final = 120.0
TRIES: Final = 3


class TruckLogin(Struct, frozen=True):
    """One supplier's truck: which aisle it fills, and how it logs in."""

    device_id: str
    password: str
    aisle_type: AisleType


class Delivery(Struct, frozen=True):
    """What became of one manifest: a restock as last told, or why there is none."""

    manifest_no: str
    restock: Restock | None = None
    refused: str | None = None
    unanswered: str | None = None


class Trucks:
    """All suppliers of a replay. What is wanted is kept by article; `coming` counts what is wanted or on its way already.

    `gone` is what was sold and is not to be brought yet, because it fills no case; below zero, a case brought more than was wanted.
    """

    def __init__(
        self,
        trucks: dict[AisleType, Truck],
        told: list[ToldRestock],
        demand: Demand,
        run_name: str,
        *,
        round_s: float = ROUND_S,
        come_back_s: float = COME_BACK_S,
    ) -> None:
        """Begin with `trucks` by aisle; `told` is what they were told so far, and will be."""
        self.come_back_s = come_back_s
        self._round_s = round_s
        self.deliveries: list[Delivery] = []
        self.told = told
        self._trucks = trucks
        self._products = {product.sku: product for product in demand.products}
        self._run_name = run_name
        self._wanted: dict[AisleType, Counter[str]] = {aisle: Counter() for aisle in trucks}
        self._coming: Counter[str] = Counter()
        self._gone: Counter[str] = Counter()
        self._urgent: set[AisleType] = set()
        self._number = 0

    def sold(self, order: Order) -> None:
        """Note that an order has left the shelves; whole cases are brought again."""
        for line in order.items:
            gone = self._gone[line.sku] + line.quantity
            cases = max(0, gone // CASE_UNITS * CASE_UNITS)
            self._gone[line.sku] = gone - cases
            self._want(line.sku, cases)

    def missed(self, items: Iterable[Item], problem: Problem) -> None:
        """Note what a basket of these items did not find, beyond what is coming already."""
        quantities: Counter[str] = Counter()
        for item in items:
            quantities[item.sku] += item.quantity
        for error in problem.errors:
            sku = error.get("sku")
            if isinstance(sku, str) and sku in quantities:
                lacking = quantities[sku] - int(error.get("available") or 0) - self._coming[sku]
                self._want(sku, lacking)
                self._urgent |= self._aisle(sku)

    def _want(self, sku: str, units: int) -> None:
        for aisle in self._aisle(sku):
            if units > 0:
                self._wanted[aisle][sku] += units
                self._coming[sku] += units

    def _aisle(self, sku: str) -> set[AisleType]:
        """Return where an article stands; nothing if no truck serves that aisle."""
        product = self._products.get(sku)
        return {product.aisle_type} & self._wanted.keys() if product is not None else set()

    async def drive(self, done: asyncio.Event) -> None:
        """Send trucks until `done`; returns when the last of them is empty."""
        async with asyncio.TaskGroup() as group:
            for aisle in self._trucks:
                group.create_task(self._supply(aisle, done))

    async def _supply(self, aisle: AisleType, done: asyncio.Event) -> None:
        yard = asyncio.Semaphore(UNLOADING_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while not done.is_set():
                if self._wanted[aisle] and (aisle in self._urgent or self._wanted[aisle].total() >= FULL_LOAD):
                    await yard.acquire()
                    group.create_task(self._deliver(aisle, self._load(aisle), yard))
                await _pause(done, self._round_s)

    def _load(self, aisle: AisleType) -> dict[str, int]:
        """Take what is wanted most, as much as one manifest holds."""
        wanted = self._wanted[aisle]
        load = {sku: in_cases(units) for sku, units in wanted.most_common(MOST_LINES)}
        for sku, units in load.items():
            beyond = units - wanted.pop(sku)
            self._coming[sku] += beyond
            self._gone[sku] -= beyond
        if not wanted:
            self._urgent.discard(aisle)
        return load

    async def _deliver(self, aisle: AisleType, load: dict[str, int], yard: asyncio.Semaphore) -> None:
        """Announce one manifest, and watch it being put away."""
        self._number += 1
        truck, manifest_no = self._trucks[aisle], f"{self._run_name}-{self._number}"
        today = datetime.now(UTC).date()
        manifest = manifest_of(SUPPLIERS[aisle], manifest_no, load, self._products, today)
        try:
            self.deliveries.append(await _unloaded(truck, manifest, manifest_no))
        finally:
            self._coming.subtract(load)
            yard.release()


async def _unloaded(truck: Truck, manifest: Manifest, manifest_no: str) -> Delivery:
    """Announce a manifest and watch it being put away. A truck that heard nothing asks again: the same manifest, the same delivery."""
    silence = ""
    for _ in range(TRIES):
        try:
            restock = await truck.restock(manifest)
            return Delivery(manifest_no, await truck.finished(restock.order_id, PUT_AWAY_WITHIN_S))
        except Problem as problem:
            return Delivery(manifest_no, refused=problem.code)
        except Unanswered as unanswered:
            silence = str(unanswered)
    return Delivery(manifest_no, unanswered=silence)


async def _pause(done: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), seconds)


@asynccontextmanager
async def driving(
    url: str,
    logins: Iterable[TruckLogin],
    demand: Demand,
    run_name: str,
    *,
    session: aiohttp.ClientSession | None = None,
    patience: Patience | None = None,
    round_s: float = ROUND_S,
    come_back_s: float = COME_BACK_S,
) -> AsyncIterator[Trucks]:
    """Open a truck for each login, and let them drive while the block runs; it ends when the last of them is empty."""
    async with AsyncExitStack() as stack:
        trucks: dict[AisleType, Truck] = {}
        told: list[ToldRestock] = []
        for login in logins:
            truck = Truck(url, login.device_id, login.password, session=session, patience=patience, heard=told.append)
            trucks[login.aisle_type] = await stack.enter_async_context(truck)
        fleet = Trucks(trucks, told, demand, run_name, round_s=round_s, come_back_s=come_back_s)
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.drive(done))
            yield fleet
            done.set()
