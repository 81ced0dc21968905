"""Back-off for failed logins: the first few are free, then each failure doubles the wait before the next attempt.

The counts are in memory and belong to one process: with n processes an attacker has n times the attempts, and each
process ends the wait at its own time. Sources: OWASP ASVS 5.0 §6.3.1, NIST SP 800-63B §5.2.2.
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

FREE_FAILURES: Final = 5
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 300.0
FORGET_AFTER_S: Final = 3_600.0  # without a failure for this long, the count starts again at 0
MAX_KEYS: Final = 10_000
MAX_EXPONENT: Final = 30
KEY_BYTES: Final = 16


class Failures(Struct):
    """The failed attempts of one key. Times are in seconds of the back-off's clock."""

    count: int = 0
    last_at: float = 0.0
    next_allowed_at: float = 0.0


class LoginBackoff:
    """Counts failed attempts by account and source address, so that an attacker delays attempts from its address only.

    After FREE_FAILURES failures the next attempt waits FIRST_WAIT_S seconds, and the wait doubles with each further
    failure up to `max_wait_s`. At most `max_keys` keys are kept; the least recently used is evicted.
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
        self._failures: dict[bytes, Failures] = {}

    @contextmanager
    def attempt(self, *key_parts: str) -> Iterator[None]:
        """Run one login attempt: Unauthenticated raised in the block is a failure, a block without exception a success.

        A success resets the count; any other exception is not counted. The attempt counts as failed while it runs, so
        that concurrent attempts are limited like sequential ones. Raises TooMany(rate_limited) before the block runs.
        """
        key = hashlib.sha256("\0".join(key_parts).encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
        self._begin(key)
        try:
            yield
        except Unauthenticated:
            self._confirm_failure(key)
            raise
        except BaseException:  # the password was not judged
            self._revert(key)
            raise
        self._failures.pop(key, None)

    def _begin(self, key: bytes) -> None:
        now = self._clock()
        known = self._failures.pop(key, None)  # inserted again below: a dict's first key is the least recently used
        if known is None or now - known.last_at > FORGET_AFTER_S:
            known = Failures()
            if len(self._failures) >= self._max_keys:
                del self._failures[next(iter(self._failures))]
        self._failures[key] = known
        if now < known.next_allowed_at:
            raise TooMany(
                "rate_limited", "Too many wrong guesses. Ask again later.", retry_after_s=known.next_allowed_at - now
            )
        known.count += 1
        known.last_at = now
        known.next_allowed_at = now + self._wait_s(known.count)

    def _confirm_failure(self, key: bytes) -> None:
        """Start the wait again from now, because checking the password took time."""
        known = self._failures.get(key)
        if known is not None and known.count >= FREE_FAILURES:
            wait_s = self._wait_s(known.count)
            known.next_allowed_at = self._clock() + wait_s
            log.warning("login_attempts_delayed", wrong=known.count, wait_s=wait_s)

    def _wait_s(self, failures: int) -> float:
        if failures < FREE_FAILURES:
            return 0.0
        return min(FIRST_WAIT_S * 2.0 ** min(failures - FREE_FAILURES, MAX_EXPONENT), self._max_wait_s)

    def _revert(self, key: bytes) -> None:
        known = self._failures.get(key)
        if known is not None:
            known.count = max(0, known.count - 1)
            known.next_allowed_at = 0.0
