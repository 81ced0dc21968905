"""The ports of one gateway process: the real interfaces, backed by memory, with the simulated network between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from msgspec import Struct

from autogrocery.contracts.analytics.metric import OrderMetric, decode
from autogrocery.gateway.core.quote import Price, Quote
from autogrocery.kit.errors import InDoubt, Unavailable
from tests.harness.notifier import SENDER
from tests.proofs.simulation.memory_db import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.gateway.core.order import Cause, Line, Robot, Status
    from autogrocery.gateway.core.quote import RequestedItem
    from autogrocery.gateway.peers.inventory import Hold, OrderReport
    from autogrocery.kit.pg.batch import BatchStatement
    from autogrocery.notifier.core.receipt_mail import ReceiptMail
    from tests.proofs.simulation.memory_db import MemoryDb
    from tests.proofs.simulation.memory_inventory import MemoryInventory
    from tests.proofs.simulation.network import Network, Process
    from tests.proofs.simulation.tables import Row

T = TypeVar("T")
DB_DEADLINE_S = 4.0
PEER_DEADLINE_S = 2.0
QUOTE_DEADLINE_S = 1.0
OUTAGE_CALLS = 5  # consecutive failures after which the next success counts as a recovery


def _no_database(call_outcome: str) -> Exception:
    return Unavailable("database_unavailable", call_outcome)


def _in_doubt(peer: str) -> Callable[[str], Exception]:
    return lambda call_outcome: InDoubt(peer, call_outcome)


def _order_in(args: Sequence[Any]) -> UUID | None:
    first = args[0][0] if args and isinstance(args[0], list) and args[0] else args[0] if args else None
    return first if isinstance(first, UUID) else None


class DbPort:
    """Stands for kit.pg.Db. `unconfirmed_metrics` collects the metric numbers of commits whose reply was lost."""

    def __init__(
        self,
        memory: MemoryDb,
        process: Process,
        network: Network,
        clock: Callable[[], Any],
        unconfirmed_metrics: set[tuple[int, int]],
    ) -> None:
        self._memory = memory
        self._life = process
        self._network = network
        self._clock = clock
        self._unconfirmed = unconfirmed_metrics

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        """Run one statement, which is one commit."""
        return await self._statement(name_of(sql), args, _order_in(args))

    async def rows_by_key(self, sql: str, *args: Any) -> list[Row]:
        """Run one statement for many rows, which is one commit."""
        return await self.rows(sql, *args)

    async def run_batched(self, _many: BatchStatement, point: str, row: Any, *lists: Any) -> list[Row]:
        """Run one item of a batched statement as a statement of its own."""
        return await self._statement(point, (row, *lists), _order_in(row))

    async def _statement(self, name: str, args: tuple[Any, ...], order_id: UUID | None) -> list[Row]:
        """Run the statement. `now()` is the time of its arrival, even if it waits for a lock before its effect."""
        network = self._network
        now = self._clock()
        if network.rng.random() < network.fault_rates.slow:
            await network.pause()
        numbers: list[tuple[int, int]] = []

        def effect() -> list[Row]:
            answer, statement = self._memory.execute(name, args, now)
            numbers.extend(statement.numbers)
            self._unconfirmed.update(numbers)
            return answer

        found = await network.carry(
            self._life, name, order_id, effect, deadline_s=DB_DEADLINE_S, make_error=_no_database
        )
        self._unconfirmed.difference_update(numbers)
        return found

    async def row(self, sql: str, *args: Any) -> Row | None:
        found = await self.rows(sql, *args)
        return found[0] if found else None

    async def run(self, sql: str, *args: Any) -> int:
        return len(await self.rows(sql, *args))


class PeerState:
    """The peer state that the loops and /readyz read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.available = True
        self.on_recovery: Callable[[], None] = lambda: None
        self._failed = 0

    def note(self, *, ok: bool) -> None:
        recovered = ok and self._failed >= OUTAGE_CALLS
        self._failed = 0 if ok else self._failed + 1
        if recovered:
            self.on_recovery()


class InventoryPort:
    """Stands for peers.inventory.Inventory."""

    def __init__(self, inventory: MemoryInventory, process: Process, network: Network) -> None:
        self.peer = PeerState("inventory")
        self._shelf = inventory
        self._life = process
        self._network = network

    async def reserve(
        self, order_id: UUID, wants: Sequence[RequestedItem], *, hold_s: int, allow_partial: bool
    ) -> Hold:
        """Reserve; as in the real port, an invalid hold is in doubt."""
        hold = await self._call(
            "reserve", order_id, lambda: self._shelf.reserve(order_id, wants, hold_s, partial=allow_partial)
        )
        asked = {want.sku: want.quantity for want in wants}
        fits = hold.granted and all(0 < n <= asked.get(sku, 0) for sku, n in hold.granted.items())
        if hold.refusal is None and (not fits or (hold.granted != asked and not allow_partial)):
            raise InDoubt("inventory", "a hold that does not answer the question")
        return hold

    async def assign_robots(self, order_id: UUID, lines: Sequence[Line]) -> tuple[Robot, ...] | None:
        return await self._call("assign", order_id, lambda: self._shelf.assign(order_id, lines))

    async def release(self, order_id: UUID, release_as: Status, cause: Cause | None) -> bool:
        return await self._call("release", order_id, lambda: self._shelf.release(order_id, release_as, cause))

    async def get_order(self, order_id: UUID) -> OrderReport:
        return await self._call("get", order_id, lambda: self._shelf.get(order_id))

    async def _call(self, verb: str, order_id: UUID, effect: Callable[[], T]) -> T:
        try:
            answer = await self._network.carry(
                self._life,
                f"inventory.{verb}",
                order_id,
                effect,
                deadline_s=PEER_DEADLINE_S,
                make_error=_in_doubt("inventory"),
            )
        except InDoubt:
            self.peer.note(ok=False)
            raise
        self.peer.note(ok=True)
        return answer


class PricingPort:
    """Stands for peers.pricing.Pricing."""

    def __init__(self, prices: dict[str, int], process: Process, network: Network) -> None:
        self._prices = prices
        self._life = process
        self._network = network

    async def quote(self, order_id: UUID, wants: Sequence[RequestedItem]) -> Quote:
        def effect() -> Quote:
            known = {want.sku: Price(want.sku, self._prices[want.sku]) for want in wants if want.sku in self._prices}
            return Quote("USD", known, tuple(want.sku for want in wants if want.sku not in known))

        return await self._network.carry(
            self._life, "pricing.quote", order_id, effect, deadline_s=QUOTE_DEADLINE_S, make_error=_in_doubt("pricing")
        )


class Sent(Struct, frozen=True):
    """A published metric, and whether its change was committed by then."""

    metric: OrderMetric
    committed: bool


class PublisherPort:
    """Stands for kit.bus.Publisher."""

    def __init__(self, memory: MemoryDb, process: Process, sent: list[Sent]) -> None:
        self.sent = 0
        self.dropped = 0
        self._memory = memory
        self._life = process
        self._sent = sent

    async def post(self, frame: bytes) -> bool:
        self._life.require()
        metric = decode(frame)
        self._sent.append(Sent(metric, self._memory.tables.knows(metric)))
        self.sent += 1
        return True


class MailPort:
    """Stands for the notifier's peers.mail.Mail: `delivered` keeps the Message-ID of each delivery."""

    def __init__(self, delivered: list[str], process: Process, network: Network) -> None:
        self.sender = SENDER
        self._delivered = delivered
        self._life = process
        self._network = network

    async def send(self, mail: ReceiptMail) -> None:
        def effect() -> None:
            self._delivered.append(f"<{mail.name}@{mail.sender.domain}>")

        def make_error(call_outcome: str) -> Exception:
            return Unavailable("mail_unavailable", call_outcome)

        await self._network.carry(
            self._life, "mail.send", UUID(mail.name), effect, deadline_s=PEER_DEADLINE_S, make_error=make_error
        )
