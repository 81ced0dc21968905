"""Two weeks of a mart, replayed from the demand's baskets: what its gateway publishes, and the details of its orders.

The orders are simulated, with robots that queue; the metrics go through the publisher's encoder and the subscriber's
decoder, as they would over ZeroMQ.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from autogrocery.analytics.core.batch import BATCH_FACTS, Batch
from autogrocery.analytics.core.details import DeliveredAisle, Details, Ended, RobotPick, ShortLine
from autogrocery.analytics.core.facts import fact_of
from autogrocery.analytics.store.details import DetailCursor
from autogrocery.contracts.analytics.metric import OrderMetric, decode, encode
from autogrocery.lab.demand.baskets import AISLE_TYPES, WINDOW_S
from autogrocery.lab.demand.demand import load_demand, units_wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from autogrocery.analytics.store.fact_store import FactStore
    from autogrocery.lab.demand.baskets import AisleType, Basket, Product

STORE: Final = "mart-1"
HOUR_S: Final = 3_600
QUIETEST_H: Final = 4  # local time: the data set's hours are none's in particular
SHIFT_S: Final = 2_700.0
DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
MICROSECONDS: Final = 1_000_000
ROBOTS: Final[dict[AisleType, int]] = {"bread": 2, "dairy": 2, "meat": 2, "produce": 2, "party": 3}
DRIVE_S: Final = 20.0  # and the next, of simulated robots: to the aisle and back, to grip one unit
UNIT_S: Final = 8.0
EXPIRED, CANCELLED, REFUSED = 0.031, 0.024, 0.004  # shares of quotes
REJECTED: Final = 0.02  # share of deliveries
SHORT, SHORT_OF_SCARCE = 0.002, 0.09  # shares of lines, and of lines of scarce products
POPULAR, SCARCE = 300, 25  # so many of the most wanted products are scarce


class Mart(Struct):
    """What happened: metrics in the order of their times, and the details of ended orders."""

    metrics: list[OrderMetric]
    details: Details
    ended: dict[UUID, str]


class _Line(Struct, frozen=True):
    product: Product
    quantity: int
    picked: int


class _Simulation:
    def __init__(self, seed: int, products: Sequence[Product], popular: Sequence[str]) -> None:
        self.rng = random.Random(seed)
        self.products = {one.sku: one for one in products}
        self.scarce = set(self.rng.sample(popular[:POPULAR], SCARCE))
        self.free_at = {aisle: [0.0] * count for aisle, count in ROBOTS.items()}
        self.mart = Mart([], Details([], [], []), {})
        self._ids = 0

    def order(self, basket: Basket, at_s: float) -> None:
        """Quote a basket, and mostly confirm and pick it."""
        rng, order_id = self.rng, self._new_id()
        lines = [self._line(line.sku, line.quantity) for line in basket.lines]
        quoted = sum(one.quantity * one.product.unit_price_cents for one in lines)
        counts = (sum(one.quantity for one in lines), len(lines))
        self._tell(order_id, "PREVIEWED", 1, at_s, quoted, counts)
        fate = rng.random()
        if fate < EXPIRED:
            return self._tell(order_id, "EXPIRED", 2, at_s + 120, 0, counts)
        if fate < EXPIRED + CANCELLED:
            return self._tell(order_id, "CANCELLED", 2, at_s + rng.uniform(5, 100), 0, counts)
        confirmed_s = at_s + min(rng.expovariate(1 / 22) + 4, 110)
        dispatched_s = confirmed_s + rng.uniform(0.02, 0.3)
        if fate < EXPIRED + CANCELLED + REFUSED:
            return self._tell(order_id, "FAILED", 2, dispatched_s, 0, counts)
        self._tell(order_id, "PROCESSING", 2, dispatched_s, quoted, counts)
        ended_s = self._pick(order_id, lines, dispatched_s) + rng.uniform(0.05, 0.4)
        charged = sum(one.picked * one.product.unit_price_cents for one in lines)
        status = "COMPLETED" if charged else "FAILED"
        self._tell(order_id, status, 3, ended_s, charged, counts, ended_s - confirmed_s)
        self.mart.ended[order_id] = status
        if charged:
            self.mart.details.short_lines.extend(
                ShortLine(
                    order_id,
                    _us(ended_s),
                    one.product.sku,
                    one.product.name,
                    one.quantity,
                    one.picked,
                    one.product.unit_price_cents,
                    STORE,
                )
                for one in lines
                if one.picked < one.quantity
            )
        return None

    def delivery(self, at_s: float) -> None:
        """Announce a truck's goods and put them on their shelves."""
        rng, order_id = self.rng, self._new_id()
        aisles = rng.sample(AISLE_TYPES, rng.randint(1, 3))
        announced = {aisle: rng.randint(12, 60) * 12 for aisle in aisles}
        counts = (sum(announced.values()), 14 * len(aisles))
        self._tell(order_id, "ANNOUNCED", 1, at_s, 0, counts)
        if rng.random() < REJECTED:
            return self._tell(order_id, "REJECTED", 2, at_s + 0.4, 0, counts)
        self._tell(order_id, "RECEIVING", 2, at_s + 0.4, 0, counts)
        ended_s = at_s + rng.uniform(900, 3_600)
        self._tell(order_id, "RECEIVED", 3, ended_s, 0, counts, ended_s - at_s)
        self.mart.ended[order_id] = "RECEIVED"
        for aisle, units in announced.items():
            missing = rng.choice((0, 0, 0, rng.randint(1, 24)))
            surplus = rng.choice((0, 0, 0, 0, 12))
            damaged = rng.choice((0, 0, rng.randint(1, 9)))
            received = units - missing + surplus
            self.mart.details.delivered.append(
                DeliveredAisle(order_id, _us(ended_s), aisle, units, received, damaged, missing, surplus, STORE)
            )
        return None

    def _line(self, sku: str, quantity: int) -> _Line:
        rng = self.rng
        is_short = rng.random() < (SHORT_OF_SCARCE if sku in self.scarce else SHORT)
        return _Line(self.products[sku], quantity, rng.randrange(quantity) if is_short else quantity)

    def _pick(self, order_id: UUID, lines: Sequence[_Line], assigned_s: float) -> float:
        """Give each aisle's lines to the robot that is free first; return when the last of them has reported."""
        by_aisle: defaultdict[AisleType, list[_Line]] = defaultdict(list)
        for line in lines:
            by_aisle[line.product.aisle_type].append(line)
        ended_s = assigned_s
        for aisle, some in by_aisle.items():
            free_at = self.free_at[aisle]
            robot = min(range(len(free_at)), key=free_at.__getitem__)
            picked = sum(one.picked for one in some)
            drive_s = DRIVE_S * self.rng.uniform(0.7, 1.5)
            closed_s = max(free_at[robot], assigned_s) + drive_s + UNIT_S * picked * self.rng.uniform(0.8, 1.2)
            free_at[robot] = closed_s
            ended_s = max(ended_s, closed_s)
            self.mart.details.picks.append(
                RobotPick(
                    order_id,
                    self._new_id(),
                    f"{aisle}-{robot + 1}",
                    aisle,
                    sum(one.quantity for one in some),
                    picked,
                    [one.product.sku for one in some if one.picked < one.quantity],
                    _us(assigned_s),
                    _us(closed_s),
                    STORE,
                )
            )
        return ended_s

    def _new_id(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    def _tell(
        self,
        order_id: UUID,
        status: str,
        version: int,
        at_s: float,
        cents: int,
        counts: tuple[int, int],
        duration_s: float = 0.0,
    ) -> None:
        self.mart.metrics.append(
            OrderMetric(str(order_id), status, duration_s, int(at_s), _us(at_s), 1, 0, cents, *counts, STORE, version)
        )


def simulate(since_s: int, orders: int, seed: int = 1, cache_dir: Path | None = None, *, real: bool = True) -> Mart:
    """Return two weeks that begin at `since_s` (Unix seconds, a local midnight) with about half of `orders` in them.

    `orders` are spread over the four weeks of the data set, of which two are replayed. Beyond what they have, the same
    visits come again, somewhat earlier or later. `real` False takes synthetic baskets.
    """
    demand = load_demand(orders, seed, cache_dir, real=real)
    popular = [sku for sku, _ in units_wanted(demand).most_common()]
    simulation = _Simulation(seed, demand.products, popular)
    shift = random.Random(seed)
    hours = Counter(int(basket.at_offset_s // HOUR_S) % 24 for basket in demand.baskets)
    opens_s = (QUIETEST_H - min(range(24), key=lambda hour: hours[hour])) % 24 * HOUR_S
    visits = []
    for basket in demand.baskets:
        laps, offset_s = divmod(basket.at_offset_s, WINDOW_S)
        at_s = offset_s + opens_s - WEEK_S + (shift.uniform(-SHIFT_S, SHIFT_S) if laps else 0)
        if 0 <= at_s < 2 * WEEK_S:
            visits.append((at_s, basket))
    for at_s, basket in sorted(visits, key=lambda visit: visit[0]):
        simulation.order(basket, since_s + at_s)
    for day in range(14):
        for _ in range(simulation.rng.randint(3, 6)):
            simulation.delivery(since_s + day * DAY_S + simulation.rng.uniform(4.5, 9) * 3_600)
    simulation.mart.metrics.sort(key=lambda one: one.occurred_at_us)
    return simulation.mart


async def fill(store: FactStore, mart: Mart, now_us: int) -> None:
    """Store what the mart published and answered, as the analytics process would."""
    facts = [fact_of(decode(frame)) for frame in _frames(mart.metrics)]
    for start in range(0, len(facts), BATCH_FACTS):
        await store.write(Batch(start + 1, facts[start : start + BATCH_FACTS]), now_us + start)
    await store.compute_minutes()
    page = [Ended(store.stored_batch, STORE, order_id) for order_id in mart.ended]
    told = mart.details
    await DetailCursor(store, "shortfalls").keep(page, Details(told.short_lines, told.delivered))
    await DetailCursor(store, "picks").keep(page, Details(picks=told.picks))


def _frames(metrics: Sequence[OrderMetric]) -> Iterator[bytes]:
    for number, metric in enumerate(metrics, start=1):
        yield encode(msgspec.structs.replace(metric, sequence=number))


def _us(at_s: float) -> int:
    return round(at_s * MICROSECONDS)
