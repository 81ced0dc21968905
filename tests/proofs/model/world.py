"""The nouns of the model: one order, the shelf it lives on, the two workers that look after it, and the network between."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Cause, Fact, Intent, Status


class Register(StrEnum):
    """Where inventory's register has the order; STARTED is ASSIGNED with a robot at work."""

    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    LAPSED = "LAPSED"
    ASSIGNED = "ASSIGNED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RELEASED = "RELEASED"


LIVE = frozenset({Register.ASSIGNED, Register.STARTED, Register.COMPLETED, Register.FAILED})


class Shelf(NamedTuple):
    """Inventory's side: the register, the basket it has, and what really happened on the floor."""

    register: Register = Register.UNKNOWN
    basket: str = ""
    dispatches: int = 0
    picking: bool = False  # a robot has touched stock


class Row(NamedTuple):
    """The order's row in the gateway's database."""

    status: Status
    basket: str
    intent: Intent | None = None
    release_as: Status | None = None
    cause: Cause | None = None


class Verb(StrEnum):
    """A call to inventory. GetOrder is none: it changes nothing, and what it says of a finished order stays true."""

    RESERVE = "reserve"
    ASSIGN = "assign"
    RELEASE = "release"


class Call(NamedTuple):
    """A request as it was sent; it says for ever what its sender knew then."""

    verb: Verb
    basket: str = ""
    reason: str = ""  # of a release: "cancel", or any other
    release_as: str = ""
    asked_in: str = ""  # the row's status when a release was sent, if answers are fenced by it


class Worker(NamedTuple):
    """A request or a turn of a loop: idle, waiting for an answer ("" so far), or about to commit one ("yes" or "no")."""

    call: Call | tuple[()] = ()
    answer: str = ""


IDLE = Worker()


class World(NamedTuple):
    """Everything there is. `before` is what a failover would bring back: the row before the last commit, if any;
    None once a failover has happened."""

    row: Row | None = None
    shelf: Shelf = Shelf()
    workers: tuple[Worker, Worker] = (IDLE, IDLE)
    late: tuple[Call, ...] = ()  # copies in the network that nobody waits for any more
    told: Status | None = None  # the status last shown to the device
    promised: bool = False  # the device was told 202: robots are on order
    before: tuple[Row | None, ...] | None = ()


class By(StrEnum):
    """Who takes a step. Only SYSTEM steps are sure to be taken some day."""

    SYSTEM = "system"
    OTHERS = "others"  # the device, and webhooks, which may get lost
    FAULT = "fault"


class Step(NamedTuple):
    """One thing that may happen next, and the edges along which the status moved."""

    by: By
    label: str
    world: World
    edges: tuple[tuple[Status, Fact], ...] = ()


class Drop(StrEnum):
    """A rule of PROTOCOL §1-4, to be left out: the mutants."""

    UNGUARDED_UPDATE = "§3.1 every UPDATE is guarded by (status, intent)"
    WEBHOOK_FROM_ANY_STATUS = "§3.2 terminal states are absorbing; §1 an idle order's webhook is checked with GetOrder"
    TERMINAL_BEFORE_ACK = "§3.3 terminal only after the release ack"
    TOLD_BEFORE_ACK = "§1 a terminal word is told only after inventory has acknowledged"
    REFUSAL_INFERRED_FROM_ERROR = "§3.4 no definite refusal is inferred from an error"
    RELEASE_INFERRED_FROM_ERROR = "§3.4 no acknowledgement is inferred from an error either"
    COMMIT_PROCESSING_BEFORE_CALL = "§1 PROCESSING always means: robots have been dispatched"
    PROMISE_NOT_WRITTEN = "§1 a promise is written down when it is made"
    EXPIRY_IGNORES_PROMISE = "§1 only rows with no intent expire"
    RELEASE_AS_BY_PARAMETER = "§1 status = release_as, the column, never a parameter"
    NO_SWEEPER = "§2 the sweeper makes the call that is owed"
    NO_EXPIRER = "§2 the expirer releases idle quotes"
    NO_RECONCILER = "§2 a lost webhook never matters"
    ASSIGN_NOT_IDEMPOTENT = "K1 Assign is idempotent"
    RESERVE_IGNORES_ITEMS = "K1 Reserve with other items says ITEMS_DIFFER"
    NO_ITEMS_COMPARED = "K1, K4 neither Reserve nor Assign takes one basket for another"
    REGISTER_FORGOTTEN = "K1 the register outlives a restart"
    NO_TOMBSTONE = "K2 Release leaves a tombstone"
    RELEASE_REVOKES_STARTED = "K3 a dispatch that has started is never withdrawn"
    PICK_WITHOUT_START = "K3 a robot asks (StartPick) before it touches stock"
    ASSIGN_USES_THE_HOLD = "K4 the items in Assign are authoritative"


class Setting(Struct, frozen=True):
    """What may go wrong, and which rule is left out, if any."""

    baskets: tuple[str, ...] = ("a",)
    failover: bool = False
    refusals_are_words: bool = False  # hold a 409 order_cancelled and a 410 hold_expired against the order's later life
    fenced: bool = True  # ALREADY_ASSIGNED is committed only in the status in which the release was sent
    strict: bool = True  # PROCESSING without robots is harm even while the row remembers the cancel that withdrew them
    late: int = 2
    drop: Drop | None = None
