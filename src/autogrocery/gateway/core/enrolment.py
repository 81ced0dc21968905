"""Enrolment codes: an operator hands one out, a person types it on a new device. Pure, except for random codes."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime  # noqa: TC003 - msgspec reads it
from typing import Final
from unicodedata import normalize

from msgspec import Struct

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # no two characters look or sound alike
GROUPS: Final = 4
GROUP_LENGTH: Final = 4  # 16 characters are 78 bits: too many to guess, so that an unsalted hash protects them
MAX_CODE: Final = 64


class EnrolmentCode(Struct, frozen=True):
    """A code as the database has it: its digest only; the code itself was shown once, when it was made."""

    code_id: int
    uses: int
    uses_left: int
    created_at: datetime
    expires_at: datetime
    state: str


def new_code() -> str:
    """Return a code such as 7KQD-23MX-ABCD-WXYZ."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))


def digest_of(code: str) -> bytes:
    """Return the digest under which a code is stored; case, width, dashes and blanks of any kind do not matter."""
    plain = "".join(character for character in normalize("NFKC", code).upper() if character.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()
