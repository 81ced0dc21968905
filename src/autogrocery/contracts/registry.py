"""What the gateway's internal listener serves of the registry, for peers that verify tokens on their own."""

from __future__ import annotations

from msgspec import Struct

PATH = "/internal/disabled"


class Disabled(Struct, frozen=True):
    """The disabled accounts: their calls are refused even with a valid token."""

    user_ids: tuple[int, ...]
