"""What this process has seen lately, so that it need not ask again: a hint, never the truth."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Seen = TypeVar("Seen")
MOST = 4_096


class Recent(Generic[Seen]):
    """The last `most` things that were kept, by their keys; keeping one again makes it the newest."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: OrderedDict[Hashable, Seen] = OrderedDict()
        self._most = most

    def keep(self, key: Hashable, seen: Seen) -> None:
        """Remember it, in place of what was kept under that key; the oldest is forgotten if there are too many."""
        self._kept[key] = seen
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def get(self, key: Hashable) -> Seen | None:
        """What was kept last, None if it is forgotten."""
        return self._kept.get(key)

    def forget(self, key: Hashable) -> None:
        """Remember it no longer."""
        self._kept.pop(key, None)
