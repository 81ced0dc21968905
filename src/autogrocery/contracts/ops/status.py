"""GET /status/figures: the figures of the status page and of `autogrocery top`, without an order, a person or money."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Literal

from msgspec import Struct

from autogrocery.contracts.ops.overview import InFlight, Minute, Outboxes, PeerOut, Stage, Tile  # noqa: TC001

FIGURES = "figures"  # the event's name


class Figures(Struct, frozen=True):
    """What this gateway is doing. While the database is away only `at`, `store_id` and `peers` are known."""

    at: datetime
    store_id: str
    database: Literal["up", "away"]
    peers: list[PeerOut]
    orders_per_second: float | None = None
    in_flight: InFlight | None = None
    today: dict[str, int] = {}
    stages: list[Stage] = []
    minutes: list[Minute] = []
    tiles: list[Tile] = []
    outboxes: Outboxes | None = None
    attention: int | None = None
    switches: list[str] = []
