"""View the overview: the mart at a glance, from a few small reads that all operators share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.ops.overview import (
    ActiveSwitch,
    InFlight,
    InvariantsOut,
    Minute,
    Outboxes,
    OutboxOut,
    Overview,
    Stage,
    Tile,
)
from autogrocery.gateway.actions.ops.view_attention import list_others
from autogrocery.gateway.actions.ops.view_invariants import view_invariants
from autogrocery.gateway.actions.ops.view_peers import view_peers
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.store import due, due_restocks
from autogrocery.gateway.store.ops import overview as store
from autogrocery.gateway.store.ops import switches
from autogrocery.gateway.store.ops.overview import MINUTE_S, NO_CHANGES, Counts, MinuteCounts
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from autogrocery.gateway.actions.ops.cached import OpsCaches
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.inventory_operations import InventoryOperations
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.store.ops.overview import OutboxCount
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.background import BackgroundTasks

SHOWN_MINUTES: Final = 60
RATE_S: Final = 10
LOST: Final = (Status.CANCELLED, Status.EXPIRED, Status.FAILED)
STAGES: Final = ("decide", "dispatch", "pick", "whole")
# Tile, its title, and the invariants that it sums up, of the gateway or of inventory.
TILES: Final = (
    ("oversold", "Oversold", ("stock_is_conserved", "no_balance_is_negative", "held_is_the_holds")),
    ("lost", "Lost orders", ("no_intent_lingers", "no_quote_lingers")),
    ("second_dispatches", "Second dispatches", ("one_live_dispatch_an_order", "dispatch_covers_the_order")),
    ("history", "Broken histories", ("history_is_gapless", "history_ends_at_the_row", "history_is_a_path")),
    ("totals", "Wrong totals", ("totals_are_sums", "short_picks_are_short", "outcome_tells_short_picks")),
    ("receipts", "Missing receipts", ("completed_orders_have_one_receipt", "outbox_drains")),
)


async def view_overview(
    db: Db,
    inventory: Inventory,
    pricing: Pricing,
    operations: InventoryOperations,
    caches: OpsCaches,
    background: BackgroundTasks,
    *,
    store_id: str,
    currency: str,
) -> Overview:
    """Return the overview, at most a second old. Raises Unavailable if the database does not answer."""

    async def make() -> Overview:
        at = now()
        midnight_s = int(at.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
        this_minute = int(at.timestamp()) // MINUTE_S * MINUTE_S
        if caches.minutes is None:
            caches.minutes = MinuteCounts(db)
        counts = await caches.minutes.read(min(midnight_s, this_minute - (SHOWN_MINUTES - 1) * MINUTE_S))
        living, restocks = await due.count(db), await due_restocks.count(db)
        outboxes = await store.count_outboxes(db)
        peers = view_peers(inventory, pricing)
        invariants = view_invariants(db, operations, caches.audits, background)
        active = [one for one in await switches.list_set(db) if one.on]
        flagged = living["attention"] + restocks["attention"]
        dead = outboxes["receipts"].dead + outboxes["alerts"].dead
        today = [found for minute, found in counts.minutes.items() if minute >= midnight_s]
        return Overview(
            at=at,
            store_id=store_id,
            currency=currency,
            orders_per_second=counts.previewed_in_10_s / RATE_S,
            in_flight=InFlight(
                living["previewed"],
                living["processing"],
                living["owed"] + restocks["owed"],
                restocks["announced"] + restocks["receiving"],
            ),
            today={status: sum(found.statuses.get(status, 0) for found in today) for status in Status},
            revenue_today_cents=sum(found.cents for found in today),
            complete_since=datetime.fromtimestamp(counts.complete_since_s, UTC),
            stages=await caches.stages.get(lambda: _stages(db)),
            minutes=_minutes(counts, this_minute),
            tiles=tiles_of(invariants),
            peers=peers,
            outboxes=Outboxes(_outbox(outboxes["receipts"]), _outbox(outboxes["alerts"])),
            attention=flagged + dead + len(list_others(peers, invariants, active)),
            switches=[ActiveSwitch(one.name, one.reason, one.operator, one.changed_at, one.until) for one in active],
        )

    return await caches.overview.get(make)


def tiles_of(found: InvariantsOut) -> list[Tile]:
    """Return the tiles; one whose invariants were not asked has no value."""
    known = {one.name: one for one in found.data}
    made = []
    for name, title, invariants in TILES:
        told = [known[one] for one in invariants if one in known]
        value = sum(one.violations for one in told) if told else None
        made.append(Tile(name, title, value, value == 0, min((one.checked_at for one in told), default=None)))
    return made


async def _stages(db: Db) -> list[Stage]:
    found = {one.stage: one for one in await store.list_stages(db)}
    return [Stage(name, *one.percentiles_s, one.count) for name in STAGES if (one := found.get(name)) is not None]


def _minutes(counts: Counts, this_minute: int) -> list[Minute]:
    first = max(counts.complete_since_s, this_minute - (SHOWN_MINUTES - 1) * MINUTE_S)
    return [
        Minute(
            datetime.fromtimestamp(minute, UTC),
            statuses.get(Status.PREVIEWED, 0),
            statuses.get(Status.PROCESSING, 0),
            statuses.get(Status.COMPLETED, 0),
            sum(statuses.get(status, 0) for status in LOST),
        )
        for minute in range(first, this_minute + 1, MINUTE_S)
        if (statuses := counts.minutes.get(minute, NO_CHANGES).statuses) is not None
    ]


def _outbox(count: OutboxCount) -> OutboxOut:
    return OutboxOut(count.due, count.dead, count.oldest_s)
