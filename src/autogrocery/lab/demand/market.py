"""What demand is made of, and which baskets are taken from a market: one device for about every five orders."""

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

VISITS_PER_HOUSEHOLD: Final = 5  # a registration costs a bcrypt hash; five orders share it
MAX_LINES: Final = 100  # what one basket may carry, as the gateway's contract says
MAX_QUANTITY: Final = 999
WINDOW_S: Final = 28 * 86_400.0  # four weeks, so that a household comes five times


class Product(Struct, frozen=True):
    """One article on the shelf; its aisle type names the robots that pick it."""

    sku: str
    name: str
    aisle_type: AisleType
    unit_price_cents: int


class Line(Struct, frozen=True):
    """One article of a basket."""

    sku: str
    quantity: int


class Basket(Struct, frozen=True):
    """One visit of one household, seconds after the first visit of the demand it is part of."""

    household: int
    at_offset_s: float
    lines: tuple[Line, ...]


class Market(Struct, frozen=True):
    """Everything that could be bought and everybody who might come within one window."""

    source: str
    products: Sequence[Product]
    households: Sequence[int]
    visits: Callable[[int], list[Basket]]


def choose(market: Market, orders: int, seed: int) -> list[Basket]:
    """Take the same `orders` baskets for the same seed, in the order of their times; a smaller choice is part of a larger one."""
    if orders < 1:
        raise ValueError("demand needs at least one order")
    if not market.households:
        raise ValueError("nobody shops in this market")
    chosen = sorted(itertools.islice(_arrivals(market, seed), orders), key=lambda basket: basket.at_offset_s)
    start_s = chosen[0].at_offset_s
    return [replace(basket, at_offset_s=basket.at_offset_s - start_s) for basket in chosen]


def _arrivals(market: Market, seed: int) -> Iterator[Basket]:
    """Household after household with five of its visits, then their further visits, then the next window, for ever."""
    households = list(market.households)
    random.Random(seed).shuffle(households)
    for lap in itertools.count():
        for turn in itertools.count():
            came = False
            for household in households:
                visits = market.visits(household)
                random.Random(f"{seed}/{household}").shuffle(visits)
                for visit in visits[turn * VISITS_PER_HOUSEHOLD : (turn + 1) * VISITS_PER_HOUSEHOLD]:
                    came = True
                    yield replace(visit, at_offset_s=visit.at_offset_s + lap * WINDOW_S)
            if not came:
                break
        if turn == 0:
            raise ValueError("no household of this market ever comes")
