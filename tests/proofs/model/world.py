"""The state of the model: one order's row, inventory's state of it, two gateway workers, and requests in flight."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Cause, Fact, Intent, Status


class Register(StrEnum):
    """Inventory's state of the order; STARTED is ASSIGNED with a lease granted."""

    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    LAPSED = "LAPSED"
    ASSIGNED = "ASSIGNED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RELEASED = "RELEASED"


LIVE = frozenset({Register.ASSIGNED, Register.STARTED, Register.COMPLETED, Register.FAILED})


class InventoryState(NamedTuple):
    """Inventory's state of the order, its basket, how often it was dispatched, and whether a robot picks."""

    register: Register = Register.UNKNOWN
    basket: str = ""
    dispatches: int = 0
    picking: bool = False  # a robot has taken units


class Row(NamedTuple):
    """The order's row in the gateway's database."""

    status: Status
    basket: str
    intent: Intent | None = None
    release_as: Status | None = None
    cause: Cause | None = None


class Verb(StrEnum):
    """The calls to inventory with an effect. GetOrder has none; its reply about a finished order stays true."""

    RESERVE = "reserve"
    ASSIGN = "assign"
    RELEASE = "release"


class Call(NamedTuple):
    """A request as it was sent, with what its sender knew at that time."""

    verb: Verb
    basket: str = ""
    reason: str = ""  # of a release: "cancel" or another one
    release_as: str = ""
    asked_in: str = ""  # the row's status when the release was sent, if its reply is fenced by it


class Worker(NamedTuple):
    """A request or a run of a loop: idle, waiting for a reply (""), or about to commit one ("yes" or "no")."""

    call: Call | tuple[()] = ()
    answer: str = ""


IDLE = Worker()


class World(NamedTuple):
    """The state of the whole model.

    `before` is the row that a failover restores, the one before the last commit, if any; None after the failover.
    """

    row: Row | None = None
    inventory: InventoryState = InventoryState()
    workers: tuple[Worker, Worker] = (IDLE, IDLE)
    in_flight: tuple[Call, ...] = ()  # requests whose caller has given up
    shown: Status | None = None  # the status that the device saw last
    promised: bool = False  # a 202 was returned: the dispatch is promised
    before: tuple[Row | None, ...] | None = ()


class Actor(StrEnum):
    """Who takes a step. Only SYSTEM steps are certain to be taken eventually."""

    SYSTEM = "system"
    OTHERS = "others"  # the device, and webhooks, which may be lost
    FAULT = "fault"


class Step(NamedTuple):
    """A possible next step, and the edges that the status takes."""

    actor: Actor
    label: str
    world: World
    edges: tuple[tuple[Status, Fact], ...] = ()


class Rule(StrEnum):
    """A rule of docs/PROTOCOL.md that a mutant of the model omits."""

    UNGUARDED_UPDATE = "every UPDATE is guarded by (status, intent)"
    WEBHOOK_FROM_ANY_STATUS = "terminal states are absorbing; an idle order's webhook is checked with GetOrder"
    TERMINAL_BEFORE_ACK = "terminal only after the release ack"
    TOLD_BEFORE_ACK = "a terminal status is returned only after inventory has acknowledged"
    REFUSAL_INFERRED_FROM_ERROR = "no definite refusal is inferred from an error"
    RELEASE_INFERRED_FROM_ERROR = "no acknowledgement is inferred from an error either"
    COMMIT_PROCESSING_BEFORE_CALL = "PROCESSING always means: robots have been dispatched"
    PROMISE_NOT_WRITTEN = "a promise is written down when it is made"
    EXPIRY_IGNORES_PROMISE = "only rows with no intent expire"
    RELEASE_AS_BY_PARAMETER = "status = release_as, the column, never a parameter"
    NO_SWEEPER = "the sweeper makes the call that is owed"
    NO_EXPIRER = "the expirer releases idle quotes"
    NO_RECONCILER = "a lost webhook never matters"
    ASSIGN_NOT_IDEMPOTENT = "K1 Assign is idempotent"
    RESERVE_IGNORES_ITEMS = "K1 Reserve with other items says ITEMS_DIFFER"
    NO_ITEMS_COMPARED = "K1, K4 neither Reserve nor Assign takes one basket for another"
    REGISTER_FORGOTTEN = "K1 the register outlives a restart"
    NO_TOMBSTONE = "K2 Release leaves a tombstone"
    RELEASE_REVOKES_STARTED = "K3 a dispatch that has started is never withdrawn"
    PICK_WITHOUT_START = "K3 a robot asks (StartPick) before it touches stock"
    ASSIGN_USES_THE_HOLD = "K4 the items in Assign are authoritative"


class Setting(Struct, frozen=True):
    """Which faults may occur, and which rule is omitted, if any."""

    baskets: tuple[str, ...] = ("a",)
    failover: bool = False
    refusals_are_words: bool = False  # whether a 409 order_cancelled or 410 hold_expired must stay true
    fenced: bool = True  # whether ALREADY_ASSIGNED is committed only in the status in which the release was sent
    strict: bool = (
        True  # whether PROCESSING without robots is a violation even if the row has the cancel that withdrew them
    )
    in_flight: int = 2
    omitted: Rule | None = None
