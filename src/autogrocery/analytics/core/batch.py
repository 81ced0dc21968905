"""What has been received and is not stored yet: cut into batches, bounded in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.analytics.core.facts import Fact  # noqa: TC001 - msgspec reads it from Batch
from autogrocery.analytics.core.marks import Mark, marks_of

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_FACTS: Final = 5_000
MAX_WAITING: Final = 4 * BATCH_FACTS  # beyond it nothing more is read, until a batch is stored
MAX_POISON: Final = 100  # frames kept in an hour; further ones are only counted
HOUR_US: Final = 3_600_000_000
MAX_FRAME_BYTES: Final = 4_096  # of a frame that is kept


class PoisonFrame(Struct, frozen=True):
    """A frame that is no metric, or a metric that can't be stored: its first bytes, and why it was set aside."""

    received_at: int  # Unix microseconds
    reason: str
    size: int  # bytes
    frame: bytes


class Batch(Struct, frozen=True):
    """What is written at once: facts, poison, and numbers under which there is no fact.

    `cut_at` (Unix microseconds) is of no other batch: it identifies the poison, so that an insert may be repeated.
    """

    cut_at: int
    facts: list[Fact] = []
    poison: list[PoisonFrame] = []
    closed: list[Mark] = []

    def marks(self) -> list[Mark]:
        """Return the numbers that are stored once this batch is."""
        return [*marks_of((fact.epoch, fact.sequence) for fact in self.facts if fact.sequence), *self.closed]


class Waiting:
    """Received facts in order of arrival. Add one only if `has_room`."""

    def __init__(self) -> None:
        self.on_full: Callable[[], None] = lambda: None
        self._cut_at = 0
        self._hour = self._kept = 0  # the hour of the last poison, and how many frames it had
        self.poisoned = 0  # since the start, kept or not
        self._facts: list[Fact] = []
        self._poison: list[PoisonFrame] = []
        self._closed: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """Return how much is waiting."""
        return len(self._facts) + len(self._closed) + len(self._poison)

    @property
    def has_room(self) -> bool:
        """Whether more may be added."""
        return len(self) < MAX_WAITING

    def add(self, fact: Fact) -> None:
        """Add a fact; call `on_full` if a whole batch waits."""
        self._facts.append(fact)
        if len(self._facts) == BATCH_FACTS:
            self.on_full()

    def close(self, epoch: int, sequence: int) -> None:
        """Add a number under which nothing is to be stored."""
        self._closed.append((epoch, sequence))

    def set_aside(self, frame: bytes, reason: str, received_at: int) -> None:
        """Add a poisonous frame; beyond MAX_POISON in an hour it is only counted."""
        self.poisoned += 1
        if received_at // HOUR_US != self._hour:
            self._hour, self._kept = received_at // HOUR_US, 0
        self._kept += 1
        if self._kept <= MAX_POISON:
            self._poison.append(PoisonFrame(received_at, reason, len(frame), frame[:MAX_FRAME_BYTES]))

    def cut(self, now_us: int) -> Batch | None:
        """Remove and return the next batch, of up to BATCH_FACTS facts; None if nothing waits."""
        if not (self._facts or self._poison or self._closed):
            return None
        facts, self._facts = self._facts[:BATCH_FACTS], self._facts[BATCH_FACTS:]
        poison, self._poison = self._poison, []
        closed, self._closed = self._closed, []
        self._cut_at = max(now_us, self._cut_at + 1)  # the clock may jump
        return Batch(self._cut_at, facts, poison, marks_of(closed))
