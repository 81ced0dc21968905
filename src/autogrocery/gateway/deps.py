"""What app.py has opened for the routes and loops. Only they see these Structs.

An action receives exactly what it uses.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct, field

from autogrocery.gateway.actions.ops.cached import OpsCaches
from autogrocery.gateway.core.switch import SwitchBoard
from autogrocery.gateway.peers.call_log import CallLog
from autogrocery.kit.process.background import BackgroundTasks

if TYPE_CHECKING:
    from autogrocery.gateway.actions.issue_tokens import TokenSettings
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.settings import GatewaySettings
    from autogrocery.gateway.store.order_store import OrderStore
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.login_backoff import LoginBackoff
    from autogrocery.kit.security.passwords import PasswordHasher
    from autogrocery.kit.security.tokens import Verifier


class Deps(Struct, frozen=True):
    """What routes and loops of orders and restocks hand to their actions.

    `stopping` is set once load balancers should send nothing new.
    """

    settings: GatewaySettings
    db: Db
    inventory: Inventory
    pricing: Pricing
    metrics: Metrics
    orders: OrderStore
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    reconcile_again_s: float = 60.0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    switches: SwitchBoard = field(default_factory=SwitchBoard)
    calls: CallLog = field(default_factory=CallLog)
    ops: OpsCaches = field(default_factory=OpsCaches)


class AccountDeps(Struct, frozen=True):
    """What routes and loops of accounts hand to their actions; `registration` is the setting REGISTRATION."""

    db: Db
    passwords: PasswordHasher
    token_settings: TokenSettings
    device_verifier: Verifier
    operator_verifier: Verifier
    login_backoff: LoginBackoff
    registration: str
