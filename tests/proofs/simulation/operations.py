"""Random operations of the gateway's store, which can be run on any database."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Due, Line, Order, OrderResult, Outcome, Robot, Status, WebhookDelivery
from autogrocery.gateway.core.status_change import MetricNumber
from autogrocery.gateway.store import due, inbox, metrics_log, orders, transitions
from autogrocery.gateway.store.order_store import OrderStore
from autogrocery.kit.errors import Invalid, Unavailable
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.notifier.store.receipts import READ, completed_order
from tests.proofs.simulation.tables import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from autogrocery.kit.pg.db import Row

SKUS = ("apple", "bread", "milk")
STEPS_S = (0.0, 0.0, 0.25, 0.25, 1.0, 3.0, 61.0, 700.0)
USERS = (1, 2)
STRANGER = 99
MISSING = UUID(int=1)


def previewed(order_id: UUID) -> Order:
    """An order to be dispatched, of which the statement reads the id only."""
    return Order(order_id, USERS[0], Status.PREVIEWED, 1, "USD", 0, 0, (), BEGINNING, BEGINNING)


class Operation(Struct, frozen=True):
    """One call of the store: its name, the time, the value of random(), and the call itself."""

    name: str
    at: datetime
    chance: float
    call: Callable[[Any], Awaitable[Any]]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.name}"


class OperationSource:
    """Draws operations from a seed, mostly on existing orders."""

    def __init__(self, seed: int, start: datetime) -> None:
        self.rng = random.Random(seed)
        self.now = start
        self.known: list[UUID] = []
        self.lines: dict[UUID, tuple[Line, ...]] = {}
        self._sequence = 0
        self._kinds = (
            [self.add] * 3
            + [self.dispatch, self.promise, self.release, self.idle, self.released] * 2
            + [
                self.unreleasable,
                self.finish,
                self.finish,
                self.claim,
                self.claim,
                self.hasten,
                self.flag,
                self.note_answer,
                self.remember,
                self.relay,
                self.relay,
                self.read,
                self.listing,
                self.page,
                self.epoch,
            ]
        )

    def next(self) -> Operation:
        self.now += timedelta(seconds=self.rng.choice(STEPS_S))
        name, call = self.rng.choice(self._kinds)()
        return Operation(name, self.now, self.rng.choice((0.0, 0.25, 0.5, 0.75)), call)

    def order_id(self) -> UUID:
        return self.rng.choice(self.known) if self.known and self.rng.random() < 0.95 else MISSING

    def number(self, count: int = 1) -> MetricNumber:
        self._sequence += count
        return MetricNumber(7, self._sequence)

    def add(self) -> tuple[str, Any]:
        self.now += timedelta(milliseconds=250)  # no two at the same time: the order of equal times is undefined
        again = bool(self.known) and self.rng.random() < 0.1
        order_id = self.rng.choice(self.known) if again else UUID(int=self.rng.getrandbits(128))
        skus = self.rng.sample(SKUS, self.rng.randint(1, 3))
        lines = tuple(
            Line(sku, sku.title(), n := self.rng.randint(1, 3), n + self.rng.randint(0, 1), 45) for sku in skus
        )
        wrong = self.rng.random()
        if wrong < 0.03:
            lines = (msgspec.structs.replace(lines[0], quantity=9), *lines[1:])
        user_id = STRANGER if wrong > 0.97 else self.rng.choice(USERS)
        ttl_s, number = self.rng.choice((2, 60, 600)), self.number()
        if not again and 0.03 <= wrong <= 0.97:
            self.known.append(order_id)
            self.lines[order_id] = lines
        return f"add {order_id} of {user_id}", lambda db: orders.add(
            OrderStore(db), order_id, user_id, "USD", lines, sha256=b"s" * 32, ttl_s=ttl_s, number=number
        )

    def dispatch(self) -> tuple[str, Any]:
        order_id, number = self.order_id(), self.number()
        robots = (Robot("r1", "dairy", "a1"),)
        return f"mark_dispatched {order_id}", lambda db: transitions.mark_dispatched(
            OrderStore(db), previewed(order_id), robots, number=number
        )

    def promise(self) -> tuple[str, Any]:
        order_id = self.order_id()
        return f"promise_dispatch {order_id}", lambda db: transitions.promise_dispatch(OrderStore(db), order_id)

    def release(self) -> tuple[str, Any]:
        order_id, release_as = (
            self.order_id(),
            self.rng.choice((Status.CANCELLED, Status.CANCELLED, Status.FAILED, Status.PROCESSING)),
        )
        return f"promise_release {order_id} {release_as}", lambda db: transitions.promise_release(
            OrderStore(db), order_id, release_as, Cause.CANCELLED, lease_s=2.5
        )

    def idle(self) -> tuple[str, Any]:
        order_id, release_as = self.order_id(), self.rng.choice((Status.EXPIRED, Status.EXPIRED, Status.CANCELLED))
        return f"promise_release_idle {order_id} {release_as}", lambda db: transitions.promise_release_idle(
            OrderStore(db), order_id, release_as, Cause.HOLD_EXPIRED, lease_s=2.5
        )

    def released(self) -> tuple[str, Any]:
        order_id, number = self.order_id(), self.number()
        return f"mark_released {order_id}", lambda db: transitions.mark_released(
            OrderStore(db), order_id, number=number
        )

    def unreleasable(self) -> tuple[str, Any]:
        order_id, version, number = self.order_id(), self.rng.choice((1, 1, 2)), self.number()
        return f"mark_unreleasable {order_id} {version}", lambda db: transitions.mark_unreleasable(
            OrderStore(db), order_id, version, number=number
        )

    def finish(self) -> tuple[str, Any]:
        order_id, number = self.order_id(), self.number(2)
        lines = self.lines.get(order_id, ())
        short = tuple((i, line.quantity - 1) for i, line in enumerate(lines, 1) if self.rng.random() < 0.3)
        missing = sum(line.unit_price_cents for i, line in enumerate(lines, 1) if i in dict(short))
        outcome = Outcome.PARTIAL if short else Outcome.FULL
        settlement = OrderResult(Status.COMPLETED, short, sum(line.total_cents for line in lines) - missing, outcome)
        kind = self.rng.random()
        if kind < 0.25:
            settlement = OrderResult(Status.FAILED, (), 0, None)
        elif kind < 0.4:
            settlement = msgspec.structs.replace(settlement, **self.rng.choice(WRONG))
        unremembered = (
            0.25 <= kind < 0.4 or self.rng.random() < 0.5
        )  # which of two violated rules is reported is undefined
        delivery = None if unremembered else WebhookDelivery(self.rng.choice(("w1", "w2")), b"b" * 32)
        robots = (Robot("r2", "bread", "a2"),) if self.rng.random() < 0.3 else None
        even = self.rng.random() < 0.2
        return f"finish {order_id} {settlement.status} idle={even}", lambda db: transitions.finish(
            OrderStore(db), order_id, settlement, robots=robots, even_if_idle=even, delivery=delivery, number=number
        )

    def claim(self) -> tuple[str, Any]:
        verb = self.rng.choice(("owed", "owed", "expired", "silent"))
        calls: dict[str, Any] = {
            "owed": due.claim_owed,
            "expired": due.claim_expired,
            "silent": lambda db: due.claim_silent(db, 60.0),
        }
        return f"claim_{verb}", lambda db: _sorted(calls[verb](db))

    def hasten(self) -> tuple[str, Any]:
        return "hasten", due.hasten

    def flag(self) -> tuple[str, Any]:
        order_id = self.order_id()
        return f"flag {order_id}", lambda db: due.flag(db, order_id, "look")

    def note_answer(self) -> tuple[str, Any]:
        order_id = self.order_id()
        return f"note_answer {order_id}", lambda db: due.note_answer(db, order_id)

    def remember(self) -> tuple[str, Any]:
        order_id, body = self.order_id(), self.rng.choice((b"b" * 32, b"c" * 32))
        return f"remember {order_id}", lambda db: inbox.remember(db, order_id, WebhookDelivery("w1", body))

    def relay(self) -> tuple[str, Any]:
        error = self.rng.choice((None, None, Unavailable("mail_unavailable", "later"), Invalid("bad_address", "never")))
        give_up_s, seed = self.rng.choice((5.0, 86_400.0)), self.rng.random()

        async def call(db: Any) -> list[str]:
            tried: list[str] = []

            async def deliver(row: Row) -> None:
                tried.append(f"{row['attempts']} {row['email']} {completed_order(row)}")
                if error:
                    raise error

            random.seed(seed)  # the back-off's jitter
            outbox = Outbox(db, "receipt_outbox", ("order_id",), deliver, read=READ, give_up_after_s=give_up_s, batch=1)
            await outbox.relay()
            return tried

        return f"relay {error}", call

    def read(self) -> tuple[str, Any]:
        order_id, user_id = self.order_id(), self.rng.choice(USERS)
        verbs: tuple[Any, ...] = (
            lambda db: orders.get(db, order_id),
            lambda db: orders.get_of_device(db, order_id, user_id),
            lambda db: orders.list_events(db, order_id, 1),
        )
        return f"read {order_id}", self.rng.choice(verbs)

    def listing(self) -> tuple[str, Any]:
        user_id, order_id, skus = self.rng.choice(USERS), self.order_id(), self.rng.sample(SKUS, 2)
        if self.rng.random() < 0.5:
            return "list_holding", lambda db: orders.list_holding(db, user_id, order_id, skus)
        return "list_idle_beyond", lambda db: orders.list_idle_beyond(db, user_id, 1)

    def page(self) -> tuple[str, Any]:
        user_id, status = self.rng.choice(USERS), self.rng.choice((None, Status.PREVIEWED, Status.COMPLETED))
        before = orders.PagePosition(self.now, MISSING) if self.rng.random() < 0.5 else None
        if self.rng.random() < 0.3:
            return "count", due.count
        return "list_of_device", lambda db: orders.list_of_device(db, user_id, status=status, before=before, limit=2)

    def epoch(self) -> tuple[str, Any]:
        epoch = self.rng.randint(1, 3)
        return f"add_epoch {epoch}", lambda db: metrics_log.add_epoch(db, epoch)


WRONG: tuple[dict[str, Any], ...] = (
    {"total_cents": 1_000_000},
    {"total_cents": -1},
    {"outcome": None},
    {"short": ((9, 0),)},
    {"short": ((1, -1),)},
    {"short": ((1, 0), (1, 0))},
    {"status": Status.FAILED},
    {"status": Status.EXPIRED, "outcome": None},
)  # changes of a result that the constraints refuse


async def _sorted(claiming: Awaitable[list[Due]]) -> list[Due]:
    return sorted(await claiming, key=lambda one: one.order_id)
