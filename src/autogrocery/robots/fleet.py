"""What the robots of one process share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import asyncio

    from autogrocery.robots.core.plan import FaultRates
    from autogrocery.robots.peers.gateway import Gateway
    from autogrocery.robots.peers.inventory import Inventory


class Fleet(Struct, frozen=True):
    """The peers of a fleet, how many robots may log in at once, its fault rates, and its speed (1: of a real robot)."""

    gateway: Gateway
    inventory: Inventory
    login_slots: asyncio.Semaphore
    fault_rates: FaultRates
    speed: float
