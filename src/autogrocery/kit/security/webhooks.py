"""Signatures of Standard Webhooks 1.0, verified over the raw bytes under any of several secrets.

The `standardwebhooks` package signs at the other end. Verifying is written here, because the package knows one secret at a
time and parses the body before it says whether it may be trusted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING

from autogrocery.kit.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TOLERANCE_S = 300
MAX_SIGNATURES = 16
ID = re.compile(r"[\x21-\x7e]{1,255}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")


class WebhookVerifier:
    """Verifies deliveries under any of `keys`, none older or younger than five minutes."""

    def __init__(self, keys: Sequence[bytes], *, clock: Callable[[], float] = time.time) -> None:
        self._keys = tuple(keys)
        self._clock = clock

    def verify(self, raw: bytes, header: Callable[[str], str | None]) -> None:
        """Return if the delivery is signed by one of us; raises Unauthenticated(invalid_signature) for anything else."""
        webhook_id, timestamp, signatures = (
            header(f"webhook-{name}") or "" for name in ("id", "timestamp", "signature")
        )
        if not (ID.fullmatch(webhook_id) and TIMESTAMP.fullmatch(timestamp)):
            raise _refused()
        if abs(self._clock() - int(timestamp)) > TOLERANCE_S:
            raise _refused()
        signed = b".".join((webhook_id.encode(), timestamp.encode(), raw))
        expected = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self._keys]
        given = [part.encode("latin-1") for part in signatures.split(" ")[:MAX_SIGNATURES]]
        matches = [hmac.compare_digest(one, other) for one in expected for other in given]
        if not any(matches):
            raise _refused()


def _refused() -> Unauthenticated:
    return Unauthenticated("invalid_signature", "The signature is missing, wrong or out of date.")
