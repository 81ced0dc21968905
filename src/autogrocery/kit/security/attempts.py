"""Guesses at a secret: a few are free, each further one waits longer than the one before.

In memory, for one process: with n processes a guesser has n times the guesses, and each process its own end of the wait.
Sources: OWASP ASVS 5.0 §6.3.1, NIST SP 800-63B §5.2.2.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.errors import TooMany, Unauthenticated
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FREE: Final = 5
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 300.0
FORGET_S: Final = 3_600.0  # after so long a rest the first guesses are free again
MAX_KEYS: Final = 10_000
MAX_EXPONENT: Final = 30
KEY_BYTES: Final = 16


class Guesses(Struct):
    """Those that were not right, when the last of them was made, and when the next may be."""

    wrong: int = 0
    last_at: float = 0.0
    again_at: float = 0.0


class Attempts:
    """Counts wrong guesses by whose secret it is and where the guess comes from, so that a guesser shuts out himself alone.

    After FREE of them the next waits FIRST_WAIT_S seconds, then twice as long each time, `max_wait_s` at the most. The
    longest unseen of `max_keys` are forgotten.
    """

    def __init__(
        self,
        max_wait_s: float = MAX_WAIT_S,
        *,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_wait_s = max_wait_s
        self._max_keys = max_keys
        self._clock = clock
        self._guesses: dict[bytes, Guesses] = {}

    @contextmanager
    def guess(self, *who: str) -> Iterator[None]:
        """Make one guess: Unauthenticated inside means that it was wrong, no error that it was right and all is forgiven.

        It counts as wrong while it is under way, so that many at once are no more than one after the other. Raises TooMany
        (rate_limited) before anything is done.
        """
        key = hashlib.sha256("\0".join(who).encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
        self._begin(key)
        try:
            yield
        except Unauthenticated:
            self._count(key)
            raise
        except BaseException:  # nobody learnt whether it was right
            self._take_back(key)
            raise
        self._guesses.pop(key, None)

    def _begin(self, key: bytes) -> None:
        now = self._clock()
        known = self._guesses.pop(key, None)  # put in again at the end: the first was not seen for longest
        if known is None or now - known.last_at > FORGET_S:
            known = Guesses()
            if len(self._guesses) >= self._max_keys:
                del self._guesses[next(iter(self._guesses))]
        self._guesses[key] = known
        if now < known.again_at:
            raise TooMany(
                "rate_limited", "Too many wrong guesses. Ask again later.", retry_after_s=known.again_at - now
            )
        known.wrong += 1
        known.last_at = now
        known.again_at = now + self._wait_s(known.wrong)

    def _count(self, key: bytes) -> None:
        """Let the wait begin anew: the judgement took its time."""
        known = self._guesses.get(key)
        if known is not None and known.wrong >= FREE:
            wait_s = self._wait_s(known.wrong)
            known.again_at = self._clock() + wait_s
            log.warning("guesses_slowed", wrong=known.wrong, wait_s=wait_s)

    def _wait_s(self, wrong: int) -> float:
        if wrong < FREE:
            return 0.0
        return min(FIRST_WAIT_S * 2.0 ** min(wrong - FREE, MAX_EXPONENT), self._max_wait_s)

    def _take_back(self, key: bytes) -> None:
        known = self._guesses.get(key)
        if known is not None:
            known.wrong = max(0, known.wrong - 1)
            known.again_at = 0.0
