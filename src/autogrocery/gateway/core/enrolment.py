"""Enrolment codes: what an operator hands out, and a person types on a new device. Pure but for the dice."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime  # noqa: TC003 - msgspec reads it
from typing import Final

from msgspec import Struct

LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that looks or sounds like another
GROUPS: Final = 4
GROUP: Final = 4  # 78 bits: more than anybody guesses at a few a second, so that a plain hash keeps them
MAX_CODE: Final = 64


class EnrolmentCode(Struct, frozen=True):
    """A row of the table; the code itself was told once."""

    code_id: int
    uses: int
    uses_left: int
    created_at: datetime
    expires_at: datetime
    state: str


def new_code() -> str:
    """Return a code such as 7KQD-23MX-ABCD-WXYZ."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP)) for _ in range(GROUPS))


def digest_of(code: str) -> bytes:
    """Return what the database knows of a code, however its groups and letters were typed."""
    plain = code.upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
