"""How long to wait before the next attempt: exponential back-off with jitter, so that callers do not return together.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, which calls the first form "equal jitter".
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DOUBLINGS = 32  # every cap is far below 2^32 times the first wait
SPREAD = 0.2


def equal_jitter_s(
    failed: int, first_s: float, cap_s: float, uniform: Callable[[float, float], float] = random.uniform
) -> float:
    """Return the wait in seconds after attempt number `failed` (1 is the first) failed.

    It is between half of and the whole of `min(cap_s, first_s * 2^(failed - 1))`.
    """
    doublings = min(max(failed - 1, 0), MAX_DOUBLINGS)
    return min(cap_s, first_s * 2.0**doublings) * uniform(0.5, 1.0)


def spread_s(wait_s: float, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Return a wait of `wait_s` seconds ± 20 %: for what is done again and again at a steady pace."""
    return wait_s * uniform(1.0 - SPREAD, 1.0 + SPREAD)
