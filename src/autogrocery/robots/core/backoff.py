from __future__ import annotations

import random


def backoff_s(attempt: int, first_s: float, cap_s: float) -> float:
    """Return the wait before try `attempt` (1 is the first repeat): doubling, capped, half of it jitter."""
    return min(cap_s, first_s * 2.0 ** min(attempt - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
