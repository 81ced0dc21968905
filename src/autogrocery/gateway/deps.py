"""The sockets that app.py has opened. Only app, routes and loops see this bag; actions receive exactly what they use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.mail import Mail
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.settings import GatewaySettings
    from autogrocery.kit.pg.db import Db


class Deps(Struct, frozen=True):
    """Everything that a row of a table may hand to its action."""

    settings: GatewaySettings
    db: Db
    inventory: Inventory
    pricing: Pricing
    metrics: Metrics
    mail: Mail
    reconcile_again_s: float = 60.0
