"""What the clock starts here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.inventory.actions.lapse_holds import lapse_holds
from autogrocery.inventory.actions.settle_lots import settle_due_lots
from autogrocery.inventory.actions.shut_out import shut_out
from autogrocery.inventory.actions.tell_gateway import tell_gateway
from autogrocery.inventory.actions.tell_of_restock import tell_of_restock
from autogrocery.inventory.peers.gateway import AT_ONCE
from autogrocery.inventory.store import restock_webhooks, webhooks
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.pg.db import Db, Row
    from autogrocery.kit.security.tokens import Verifier

SHUT_OUT_EVERY_S: Final = 20.0  # with one lost answer still within the 60 s that a disabled robot has at most
LAPSE_EVERY_S: Final = 1.0
SETTLE_EVERY_S: Final = 1.0
TELL_EVERY_S: Final = 0.2
TELL_FOR_S: Final = 7 * 86_400  # as long as answers are remembered (K1); then it is dead, and the audit shows it
TELL_CAP_S: Final = 60.0
TELL_BATCH: Final = AT_ONCE  # one round of deliveries, 3 s at the most
TELL_LEASE_S: Final = 8.0
RESTOCKS_AT_ONCE: Final = 4  # each takes a connection of the pool while its body is made


def lapsing(db: Db) -> Loop:
    """Give back overdue holds."""
    return Loop("lapse_holds", LAPSE_EVERY_S, lambda: lapse_holds(db))


def settling(db: Db) -> Loop:
    """Take expired units from the shelf; sold they are not from the instant on, whether or not this has come by."""
    return Loop("settle_lots", SETTLE_EVERY_S, lambda: settle_due_lots(db))


def shutting_out(gateway: Gateway, verifier: Verifier) -> Loop:
    """Learn whom an operator has disabled."""

    async def verb() -> bool:
        await shut_out(gateway, verifier)
        return False

    return Loop("shut_out", SHUT_OUT_EVERY_S, verb)


def telling(db: Db, gateway: Gateway) -> Loop:
    """Deliver webhooks until each is acknowledged; woken after a report, so that the gateway hears at once."""
    return _relaying("tell_gateway", db, webhooks.TABLE, TELL_BATCH, lambda owed: tell_gateway(db, gateway, owed))


def telling_of_restocks(db: Db, gateway: Gateway) -> Loop:
    """Deliver the webhooks of deliveries likewise; woken by the report that ends one."""
    return _relaying(
        "tell_of_restocks",
        db,
        restock_webhooks.TABLE,
        RESTOCKS_AT_ONCE,
        lambda owed: tell_of_restock(db, gateway, owed),
    )


def _relaying(name: str, db: Db, table: str, at_once: int, deliver: Callable[[Row], Awaitable[None]]) -> Loop:
    """Relay an outbox of webhooks, a batch of which is under way all at once."""
    outbox = Outbox(
        db,
        table,
        webhooks.KEY,
        deliver,
        cap_s=TELL_CAP_S,
        give_up_after_s=TELL_FOR_S,
        batch=at_once,
        at_once=at_once,
        types=webhooks.KEY_TYPES,
        lease_s=TELL_LEASE_S,
    )
    return Loop(name, TELL_EVERY_S, outbox.relay)
