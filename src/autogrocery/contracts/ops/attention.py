"""GET /internal/ops/attention: what a person should look at, why, and what is safe to do."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Literal

from msgspec import Struct

AttentionKind = Literal["order", "restock", "receipt", "alert", "peer", "switch", "invariant"]


class SafeAction(Struct, frozen=True):
    """An action that can't do harm, as often as it is repeated; `name` is the last part of its path."""

    name: str
    title: str
    words: str


class Diagnosis(Struct, frozen=True):
    """A cause as a stable code and in words, with the safe actions for it, the best first."""

    cause: str
    words: str
    actions: tuple[SafeAction, ...]


class AttentionItem(Struct, frozen=True):
    """One thing to look at. `id` is the order's or the name of the peer, switch or invariant."""

    kind: AttentionKind
    id: str
    since: datetime | None
    cause: str
    words: str
    actions: tuple[SafeAction, ...]


class AttentionOut(Struct, frozen=True):
    """The list, oldest first within each kind; `total` counts also what the limit cut off."""

    data: list[AttentionItem]
    total: int
