"""Options of a `prove` run, and what follows from them."""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

RECOVERY_PHASE_S: Final = 15.0  # at the end of the run, without faults: orders run to their end
ORDERS_AFTER_FAULTS_S: Final = 3.0  # new orders still arrive after the last fault
FULL_SCENARIOS_MINUTES: Final = 10.0
MIN_SCALE: Final = 0.05


class ProveOptions(Struct, frozen=True):
    """Duration in minutes, seed of the faults, orders a second."""

    minutes: float
    seed: int
    rate: float

    @property
    def orders(self) -> int:
        """How many baskets are replayed: enough for new ones to arrive all the time."""
        return math.ceil(self.rate * (self.fault_phase_s + ORDERS_AFTER_FAULTS_S))

    @property
    def fault_phase_s(self) -> float:
        """How long faults are injected, in seconds."""
        return self.minutes * 60 - min(RECOVERY_PHASE_S, self.minutes * 60 / 2)

    @property
    def scale(self) -> float:
        """The scale of the scenarios, MIN_SCALE to 1."""
        return min(1.0, max(MIN_SCALE, self.minutes / FULL_SCENARIOS_MINUTES))
