"""What the operator asked for, and what follows from it."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

HEALING_S: Final = 15.0  # of the time, at its end, nothing is broken any more: orders go on to their end
SHOP_ON_S: Final = 3.0  # new orders still come after the last disaster
FULL_SCENARIOS_MINUTES: Final = 10.0
LEAST_SCENARIOS: Final = 0.05


class Wish(Struct, frozen=True):
    """What the operator asked for: how long, which disasters, how many orders a second."""

    minutes: float
    seed: int
    rate: float

    @property
    def orders(self) -> int:
        """How many baskets are played: new ones come all the time."""
        return math.ceil(self.rate * (self.disasters_s + SHOP_ON_S))

    @property
    def disasters_s(self) -> float:
        """How long things are broken."""
        return self.minutes * 60 - min(HEALING_S, self.minutes * 60 / 2)

    @property
    def scale(self) -> float:
        """How large the scenarios are."""
        return min(1.0, max(LEAST_SCENARIOS, self.minutes / FULL_SCENARIOS_MINUTES))
