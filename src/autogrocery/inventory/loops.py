"""Inventory's loops: what runs on a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.inventory.actions.disable_robots import disable_robots
from autogrocery.inventory.actions.lapse_holds import lapse_holds
from autogrocery.inventory.actions.send_order_webhooks import send_order_webhooks
from autogrocery.inventory.actions.send_restock_webhooks import send_restock_webhooks
from autogrocery.inventory.actions.write_off_lots import write_off_due_lots
from autogrocery.inventory.peers.gateway import MAX_CONCURRENT
from autogrocery.inventory.store import restock_webhooks, webhooks
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.pg.db import Db, Row
    from autogrocery.kit.security.tokens import Verifier

DISABLE_ROBOTS_EVERY_S: Final = 20.0  # a disabled robot is refused within 60 s, even if one request is lost
LAPSE_EVERY_S: Final = 1.0
WRITE_OFF_EVERY_S: Final = 1.0
WEBHOOKS_EVERY_S: Final = 0.2
WEBHOOK_GIVE_UP_S: Final = 7 * 86_400  # as long as answers are kept (K1); then it is dead, and the audit reports it
WEBHOOK_BACKOFF_CAP_S: Final = 60.0
WEBHOOK_LEASE_S: Final = 8.0  # longer than one batch takes: all its requests run at once, 3 s at most
RESTOCK_WEBHOOKS_AT_ONCE: Final = 4  # each takes a connection of the pool while its body is made


def lapse_holds_loop(db: Db) -> Loop:
    """Return the loop that frees the stock of expired holds."""
    return Loop("lapse_holds", LAPSE_EVERY_S, lambda: lapse_holds(db))


def write_off_lots_loop(db: Db) -> Loop:
    """Return the loop that writes off expired units. They are off sale from their expiry on, before it runs."""
    return Loop("write_off_lots", WRITE_OFF_EVERY_S, lambda: write_off_due_lots(db))


def disable_robots_loop(gateway: Gateway, verifier: Verifier) -> Loop:
    """Return the loop that loads the accounts that an operator has disabled."""

    async def verb() -> bool:
        await disable_robots(gateway, verifier)
        return False

    return Loop("disable_robots", DISABLE_ROBOTS_EVERY_S, verb)


def send_order_webhooks_loop(db: Db, gateway: Gateway) -> Loop:
    """Return the loop that sends order webhooks until each is acknowledged; woken when an order is closed."""
    return _relay_loop(
        "send_order_webhooks", db, webhooks.TABLE, MAX_CONCURRENT, lambda row: send_order_webhooks(db, gateway, row)
    )


def send_restock_webhooks_loop(db: Db, gateway: Gateway) -> Loop:
    """Return the loop that sends restock webhooks until each is acknowledged; woken when a restock order is closed."""
    return _relay_loop(
        "send_restock_webhooks",
        db,
        restock_webhooks.TABLE,
        RESTOCK_WEBHOOKS_AT_ONCE,
        lambda row: send_restock_webhooks(db, gateway, row),
    )


def _relay_loop(name: str, db: Db, table: str, at_once: int, deliver: Callable[[Row], Awaitable[None]]) -> Loop:
    """Return the loop that relays an outbox of webhooks; all rows of a batch are sent at once."""
    outbox = Outbox(
        db,
        table,
        webhooks.KEY,
        deliver,
        cap_s=WEBHOOK_BACKOFF_CAP_S,
        give_up_after_s=WEBHOOK_GIVE_UP_S,
        batch=at_once,
        at_once=at_once,
        types=webhooks.KEY_TYPES,
        lease_s=WEBHOOK_LEASE_S,
    )

    async def relay() -> bool:
        return await outbox.relay() == at_once

    return Loop(name, WEBHOOKS_EVERY_S, relay)
