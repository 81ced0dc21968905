"""Products and baskets, and the choice of baskets from a source: one device for about five orders."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

AisleType = Literal["bread", "dairy", "meat", "produce", "party"]
AISLE_TYPES: Final[tuple[AisleType, ...]] = ("bread", "dairy", "meat", "produce", "party")

VISITS_PER_HOUSEHOLD: Final = 5  # a registration costs a bcrypt hash, which five orders share
MAX_LINES: Final = 100  # of one order: docs/CONTRACT.md#public-rest
MAX_QUANTITY: Final = 999
WINDOW_S: Final = 28 * 86_400.0  # four weeks, in which a household orders five times


class Product(Struct, frozen=True):
    """One product; its aisle type is the class of the robots that pick it."""

    sku: str
    name: str
    aisle_type: AisleType
    unit_price_cents: int


class Line(Struct, frozen=True):
    """One product of a basket and its quantity."""

    sku: str
    quantity: int


class Basket(Struct, frozen=True):
    """One visit of a household, `at_offset_s` seconds after the first visit of its demand."""

    household: int
    at_offset_s: float
    lines: tuple[Line, ...]


class BasketSource(Struct, frozen=True):
    """Products, households, and the visits of a household within one window of WINDOW_S."""

    name: str
    products: Sequence[Product]
    households: Sequence[int]
    visits: Callable[[int], list[Basket]]


def choose_baskets(source: BasketSource, orders: int, seed: int) -> list[Basket]:
    """Return `orders` baskets in the order of their times, the same for the same seed.

    A smaller choice is part of a larger one. Raises ValueError if there are none to choose from.
    """
    if orders < 1:
        raise ValueError("demand needs at least one order")
    if not source.households:
        raise ValueError("this source has no households")
    chosen = sorted(itertools.islice(_arrivals(source, seed), orders), key=lambda basket: basket.at_offset_s)
    start_s = chosen[0].at_offset_s
    return [replace(basket, at_offset_s=basket.at_offset_s - start_s) for basket in chosen]


def _arrivals(source: BasketSource, seed: int) -> Iterator[Basket]:
    """Yield five visits of each household, then their further visits, then the next window, without end."""
    households = list(source.households)
    random.Random(seed).shuffle(households)
    for lap in itertools.count():
        for turn in itertools.count():
            any_visit = False
            for household in households:
                visits = source.visits(household)
                random.Random(f"{seed}/{household}").shuffle(visits)
                for visit in visits[turn * VISITS_PER_HOUSEHOLD : (turn + 1) * VISITS_PER_HOUSEHOLD]:
                    any_visit = True
                    yield replace(visit, at_offset_s=visit.at_offset_s + lap * WINDOW_S)
            if not any_visit:
                break
        if turn == 0:
            raise ValueError("no household of this source has a visit")
