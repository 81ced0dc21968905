"""What the gateway's internal listener tells of the registry to those who verify tokens by themselves."""

from __future__ import annotations

from msgspec import Struct

PATH = "/internal/disabled"


class Disabled(Struct, frozen=True):
    """The accounts that are shut out: whatever their tokens say, they are refused."""

    user_ids: tuple[int, ...]
