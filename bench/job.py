"""What the load is asked to do, and what it tells: one JSON line each over the pipe between it and whoever started it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from array import array

PREVIEW, CONFIRM, WEBHOOK = KINDS = ("preview", "confirm", "webhook")
BEGAN, ENDED = "began", "ended"


class Door(Struct, frozen=True):
    """The two listeners of one gateway process, on loopback."""

    public: int
    internal: int


class Login(Struct, frozen=True):
    """A device that logs in without pause beside the shoppers."""

    device_id: str
    password: str


class Job(Struct, frozen=True, kw_only=True):
    """One run. `rate` None: closed loop; else orders a second, at even distances, whatever comes of those before.

    `tokens` are the devices', taken in turn so that no rate limit of a device bites. `delivers`: a shopper delivers the
    signed webhook of its own order, its third request; False where inventory does that itself.
    """

    doors: list[Door]
    connections: int
    seconds: float
    tokens: list[str]
    baskets: list[list[tuple[str, int]]]
    webhook_key: bytes = b""
    delivers: bool = True
    warm_up_s: float = 1.0
    rate: float | None = None
    logins: list[Login] = []  # msgspec copies the default
    orders: int | None = None  # end after so many, if that is sooner


class Spread(Struct, frozen=True):
    """Milliseconds that requests of one kind took."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    most: float


def spread(took_s: array[float]) -> Spread:
    """Return the percentiles in milliseconds, by nearest rank."""
    ranked = sorted(took_s)
    at = partial(rank, ranked)
    return Spread(len(ranked), at(50.0), at(90.0), at(99.0), at(99.9), at(100.0))


def rank(ranked: list[float], percent: float) -> float:
    """Return a percentile in milliseconds."""
    index = -int(-len(ranked) * percent // 100) - 1
    return round(ranked[max(0, index)] * 1e3, 3)


class Tally(Struct, frozen=True, kw_only=True):
    """What came of a run: `orders` finished within the measured `took_s`, `all_orders` with warm-up and end.

    `other` counts answers that were no success, by kind and status; `late` arrivals found every connection busy, `dropped`
    ones found too many waiting; `refused` spreads how fast 429 and 503 came; `cpu_s` is the load's own.
    """

    took_s: float
    orders: int
    all_orders: int
    begun: int
    spread_ms: dict[str, Spread]
    other: dict[str, int]
    refused_ms: Spread | None
    late: int
    dropped: int
    logins: int
    cpu_s: float


class Line(Struct, frozen=True):
    """One line from the load: measuring began, so many orders so far, or it ended."""

    event: str
    orders: int = 0
    tally: Tally | None = None
