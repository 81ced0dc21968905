"""GET /internal/ops/overview, /peers and /invariants."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Literal

from msgspec import Struct


class InFlight(Struct, frozen=True):
    """Orders that have not ended, and restocks that have not."""

    previewed: int
    processing: int
    owed: int
    restocks: int


class Stage(Struct, frozen=True):
    """How long one stage of an order took, in seconds, over the orders that ended in the last five minutes.

    `stage`: decide (preview to confirm), dispatch (confirm to robots), pick (robots to end), whole (confirm to end).
    """

    stage: Literal["decide", "dispatch", "pick", "whole"]
    p50_s: float
    p90_s: float
    p99_s: float
    count: int


class Minute(Struct, frozen=True):
    """Orders that reached a status within one minute; `lost` ended CANCELLED, EXPIRED or FAILED."""

    minute: datetime
    previewed: int
    processing: int
    completed: int
    lost: int


class Tile(Struct, frozen=True):
    """A few invariants: how many rows violate them; None until the databases that they are about have told."""

    name: str
    title: str
    value: int | None
    ok: bool
    checked_at: datetime | None


class PeerOut(Struct, frozen=True):
    """A peer as this gateway sees it.

    `state`: up, down (the breaker is open) or failing (its last call had no clear answer). `since`: when `breaker`
    changed last, or this gateway started.
    """

    name: str
    state: Literal["up", "failing", "down"]
    breaker: Literal["closed", "open"]
    since: datetime
    last_error: str | None
    last_error_at: datetime | None
    rejected_replies: int


class PeersOut(Struct, frozen=True):
    """Every peer of this gateway."""

    data: list[PeerOut]


class OutboxOut(Struct, frozen=True):
    """An outbox: rows that wait, dead letters, and the age of the oldest row that waits, in seconds."""

    due: int
    dead: int
    oldest_s: float


class Outboxes(Struct, frozen=True):
    """Receipts and alerts."""

    receipts: OutboxOut
    alerts: OutboxOut


class ActiveSwitch(Struct, frozen=True):
    """A switch that is on."""

    name: str
    reason: str
    operator: str
    since: datetime
    until: datetime | None


class Overview(Struct, frozen=True):
    """The mart at a glance.

    `today` counts the orders that reached each status since midnight UTC. `complete_since`: from when `minutes`,
    `today` and `revenue_today_cents` are complete; a gateway that has just started reads the day backwards.
    """

    at: datetime
    store_id: str
    currency: str
    orders_per_second: float
    in_flight: InFlight
    today: dict[str, int]
    revenue_today_cents: int
    complete_since: datetime
    stages: list[Stage]
    minutes: list[Minute]
    tiles: list[Tile]
    peers: list[PeerOut]
    outboxes: Outboxes
    attention: int
    switches: list[ActiveSwitch]


class Invariant(Struct, frozen=True):
    """One invariant with the number of rows that violate it and up to five of them, as JSON objects in texts.

    `checked_at` is when its source was audited: the gateway's database, or inventory's by inventory itself.
    """

    source: Literal["gateway", "inventory"]
    name: str
    sentence: str
    violations: int
    examples: tuple[str, ...]
    checked_at: datetime


class InvariantsOut(Struct, frozen=True):
    """The last audits. `checked_at`: the older of the two that are told; None: none has ended yet, ask again.

    `clean`: nothing that was told is violated, and the gateway's database was told. `untold` names a source that gave
    no answer when it was asked last, and why; what it told before is in `data` all the same.
    """

    clean: bool
    checked_at: datetime | None
    data: list[Invariant]
    untold: dict[str, str]
