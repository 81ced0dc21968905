"""How long a relay waits between two batches: mail stays prompt, and orders do not feel it. Pure."""

from __future__ import annotations

from typing import Final

BATCH: Final = 64  # rows of one claim
BUSY_WAIT_S: Final = 0.1  # after a batch that was not full: what falls due meanwhile shares the next claim
IDLE_WAIT_S: Final = 1.0  # the longest wait while nothing is due, and the wait after a failure
PAUSE_PER_CPU: Final = 2.0  # seconds of pause for each second of CPU: a backlog takes at most a third of one core


class Pace:
    """The wait before the next claim.

    A batch is followed by a pause of PAUSE_PER_CPU times the CPU that it took, so that a backlog, however long, leaves
    two thirds of a core, and PostgreSQL a pause between its statements. On a busy machine the same batch takes longer,
    but no more CPU: the notifier's lower priority slows it down further. While nothing is due the wait doubles, from
    BUSY_WAIT_S to IDLE_WAIT_S.
    """

    def __init__(self) -> None:
        self.wait_s = BUSY_WAIT_S

    def after_batch(self, claimed: int, cpu_s: float) -> None:
        """Set the wait after a batch of `claimed` rows, which took `cpu_s` seconds of this process's CPU."""
        if claimed:
            self.wait_s = max(0.0 if claimed == BATCH else BUSY_WAIT_S, cpu_s * PAUSE_PER_CPU)
        else:
            self.wait_s = min(max(self.wait_s, BUSY_WAIT_S) * 2.0, IDLE_WAIT_S)

    def after_failure(self) -> None:
        """Set the wait after a batch that could not be claimed or settled."""
        self.wait_s = IDLE_WAIT_S
