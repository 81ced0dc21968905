"""Verify signatures of Standard Webhooks 1.0 over the raw body, under any of several secrets.

The sender signs with the `standardwebhooks` package. Verification is written here because the package accepts one
secret at a time and parses the body before it has checked the signature.
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
    """Verifies webhooks under any of `keys`; a timestamp may differ from the clock by up to TOLERANCE_S either way."""

    def __init__(self, keys: Sequence[bytes], *, clock: Callable[[], float] = time.time) -> None:
        self._keys = tuple(keys)
        self._clock = clock

    def verify(self, raw: bytes, header: Callable[[str], str | None]) -> None:
        """Return if one of `keys` signed the body `raw`; raises Unauthenticated(invalid_signature) for anything else.

        `header` returns a header's value by its lower-case name, or None.
        """
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
