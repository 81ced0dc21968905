"""Why an order, a restock or a message waits, in words, and what an operator may safely do. Pure.

Every safe action runs the code of the loops (docs/PROTOCOL.md#loops): repeated, late or needless, it breaks no promise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from autogrocery.contracts.ops.attention import Diagnosis, SafeAction

ATTENTION_NO_ANSWER: Final = "inventory gives no clear answer"
ATTENTION_NO_PEER_ANSWER: Final = "a peer gives no clear answer"
ATTENTION_CONTRADICTED: Final = "robots have it, but inventory says "
ATTENTION_PICKED_ELSE: Final = "inventory says that robots picked what is not in this order"
ATTENTION_DELIVERY_LOST: Final = "inventory has accepted it, but says "
ATTENTION_COUNTS_DIFFER: Final = "inventory's counts do not fit this manifest"


class ActionName(StrEnum):
    """The safe actions: the last part of the path of the write that runs it."""

    RETRY_DISPATCH = "retry_dispatch"
    RELEASE = "release"
    RECONCILE = "reconcile"
    RESEND_RECEIPT = "resend_receipt"
    RETRY = "retry"
    REPLAY = "replay"


ACTIONS: Final = {
    ActionName.RETRY_DISPATCH: SafeAction(
        ActionName.RETRY_DISPATCH, "Retry dispatch", "Asks inventory for robots again now; it dispatches an order once."
    ),
    ActionName.RELEASE: SafeAction(
        ActionName.RELEASE,
        "Release",
        "Gives the goods back; if robots have the order already, inventory says so and the order goes on.",
    ),
    ActionName.RECONCILE: SafeAction(
        ActionName.RECONCILE, "Ask inventory", "Asks inventory for its state now and brings the row to it."
    ),
    ActionName.RESEND_RECEIPT: SafeAction(
        ActionName.RESEND_RECEIPT, "Resend receipt", "Makes the unsent receipt due now; one that was sent stays sent."
    ),
    ActionName.RETRY: SafeAction(
        ActionName.RETRY, "Retry", "Makes the owed call again now; peers take each delivery in once."
    ),
    ActionName.REPLAY: SafeAction(
        ActionName.REPLAY, "Replay", "Makes the dead letter due again and retries it for another 24 hours."
    ),
}


class Why(StrEnum):
    """Every cause that a diagnosis may have."""

    NOTHING = "nothing_wrong"
    ENDED = "ended"
    QUOTE_OPEN = "quote_open"
    QUOTE_LAPSED = "quote_lapsed"
    DISPATCH_OWED = "dispatch_owed"
    DISPATCH_UNANSWERED = "dispatch_unanswered"
    RELEASE_OWED = "release_owed"
    RELEASE_UNANSWERED = "release_unanswered"
    PICKING = "picking"
    PICK_UNANSWERED = "pick_unanswered"
    CONTRADICTED = "state_contradicted"
    COUNTS_CONTRADICTED = "counts_contradicted"
    RESTOCK_OWED = "restock_owed"
    RESTOCK_UNANSWERED = "restock_unanswered"
    PRICE_OWED = "price_owed"
    PRICE_UNANSWERED = "price_unanswered"
    RECEIVING = "receiving"
    RECEIVING_UNANSWERED = "receiving_unanswered"
    DELIVERY_LOST = "delivery_lost"
    MANIFEST_CONTRADICTED = "manifest_contradicted"
    MAIL_SERVER_AWAY = "mail_server_away"
    MAIL_REFUSED = "mail_refused"
    ADDRESS_BAD = "address_bad"
    SMS_AWAY = "sms_provider_away"
    SMS_REFUSED = "sms_refused"
    PHONE_BAD = "phone_bad"
    MESSAGE_DEAD = "message_dead"
    PEER_DOWN = "peer_down"
    PEER_FAILING = "peer_failing"
    SWITCH_ON = "switch_on"
    INVARIANT_VIOLATED = "invariant_violated"
    OTHER = "flagged"


class Entry(Struct, frozen=True):
    """One row of the table: the sentence for the operator and the actions, the best first."""

    words: str
    actions: tuple[ActionName, ...] = ()


_RETRY_OR_RELEASE: Final = (ActionName.RETRY_DISPATCH, ActionName.RELEASE)
_RECONCILE: Final = (ActionName.RECONCILE,)
TABLE: Final = {
    Why.NOTHING: Entry("Nothing is wrong."),
    Why.ENDED: Entry("The order has ended; nothing is owed."),
    Why.QUOTE_OPEN: Entry("The device has a quote and has not confirmed it; the goods are held until it expires."),
    Why.QUOTE_LAPSED: Entry("The quote has expired and is about to be released.", (ActionName.RELEASE,)),
    Why.DISPATCH_OWED: Entry(
        "The device confirmed; inventory has not answered yet and is asked again.", _RETRY_OR_RELEASE
    ),
    Why.DISPATCH_UNANSWERED: Entry(
        "The device confirmed, but inventory gives no clear answer about robots: it is away or sends nonsense. The "
        "order is dispatched when it answers, or fails when the dispatch patience is over.",
        _RETRY_OR_RELEASE,
    ),
    Why.RELEASE_OWED: Entry(
        "The goods are being given back; inventory has not acknowledged it yet.", (ActionName.RELEASE,)
    ),
    Why.RELEASE_UNANSWERED: Entry(
        "The goods are to be given back, but inventory gives no clear answer: it is away or sends nonsense.",
        (ActionName.RELEASE,),
    ),
    Why.PICKING: Entry("Robots have the order.", _RECONCILE),
    Why.PICK_UNANSWERED: Entry(
        "Robots have the order, but inventory gives no clear answer about how far they are.", _RECONCILE
    ),
    Why.CONTRADICTED: Entry(
        "Robots got the order, but inventory says something else: it lost or changed what it acknowledged, for "
        "instance after a restore. Correct inventory, then ask it again.",
        _RECONCILE,
    ),
    Why.COUNTS_CONTRADICTED: Entry(
        "Inventory says that robots picked what is not in this order. Correct inventory, then ask it again.", _RECONCILE
    ),
    Why.RESTOCK_OWED: Entry("The delivery was announced; inventory has not accepted it yet.", (ActionName.RETRY,)),
    Why.RESTOCK_UNANSWERED: Entry(
        "The delivery was announced, but inventory gives no clear answer: it is away or sends nonsense.",
        (ActionName.RETRY,),
    ),
    Why.PRICE_OWED: Entry("Inventory accepted the delivery; pricing has not got its costs yet.", (ActionName.RETRY,)),
    Why.PRICE_UNANSWERED: Entry(
        "Inventory accepted the delivery, but pricing gives no clear answer about its costs.", (ActionName.RETRY,)
    ),
    Why.RECEIVING: Entry("Robots put the delivery away.", _RECONCILE),
    Why.RECEIVING_UNANSWERED: Entry(
        "Robots put the delivery away, but inventory gives no clear answer about how far they are.", _RECONCILE
    ),
    Why.DELIVERY_LOST: Entry(
        "Inventory has lost a delivery that it had accepted. Count the goods by hand, correct inventory, then ask it "
        "again.",
        _RECONCILE,
    ),
    Why.MANIFEST_CONTRADICTED: Entry(
        "Inventory's counts name other goods than the manifest, or more damaged units than received ones. Correct "
        "inventory, then ask it again.",
        _RECONCILE,
    ),
    Why.MAIL_SERVER_AWAY: Entry(
        "The mail server could not be reached or deferred the mail for 24 hours. Bring it back, then replay.",
        (ActionName.REPLAY,),
    ),
    Why.MAIL_REFUSED: Entry(
        "The mail server refuses this mail for good. Correct the address or the server, then replay.",
        (ActionName.REPLAY,),
    ),
    Why.ADDRESS_BAD: Entry(
        "The registry's e-mail address is malformed. Correct the device's address, then replay.", (ActionName.REPLAY,)
    ),
    Why.SMS_AWAY: Entry(
        "The provider of SMS could not be reached or deferred the alert for 24 hours. It is not worth sending late."
    ),
    Why.SMS_REFUSED: Entry("The provider of SMS refuses this alert. Check its account and the number."),
    Why.PHONE_BAD: Entry("The registry's telephone number is malformed. Correct the device's number."),
    Why.MESSAGE_DEAD: Entry("The message was given up.", (ActionName.REPLAY,)),
    Why.PEER_DOWN: Entry(
        "Its calls fail, so the breaker is open. Bring it back: what it is owed is repeated by itself."
    ),
    Why.PEER_FAILING: Entry("Its last call had no clear answer. Nothing to do unless it goes on."),
    Why.SWITCH_ON: Entry("An operator has switched this on."),
    Why.INVARIANT_VIOLATED: Entry("The audit found rows that violate an invariant. Look at its examples."),
    Why.OTHER: Entry("It was flagged for a reason that this version does not know.", _RECONCILE),
}


class OrderFacts(Struct, frozen=True):
    """What is known of an order: columns of its row; `overdue`: the quote's time has passed."""

    status: str
    intent: str | None
    attention: str | None
    overdue: bool = False


class RestockFacts(Struct, frozen=True):
    """What is known of a restock: columns of its row."""

    status: str
    intent: str | None
    attention: str | None


def explain(why: Why, detail: str = "") -> Diagnosis:
    """Return the table's row for `why`; `detail`, which may be shown to operators, is appended."""
    entry = TABLE[why]
    words = f"{entry.words} ({detail})" if detail else entry.words
    return Diagnosis(why.value, words, tuple(ACTIONS[name] for name in entry.actions))


def diagnose_order(facts: OrderFacts) -> Diagnosis:
    """Return why an order is where it is, and what is safe."""
    if (why := _order_contradiction(facts.attention)) is not None:
        return explain(why, facts.attention or "")
    flagged = facts.attention is not None
    if facts.intent == "DISPATCH":
        return explain(Why.DISPATCH_UNANSWERED if flagged else Why.DISPATCH_OWED)
    if facts.intent == "RELEASE":
        return explain(Why.RELEASE_UNANSWERED if flagged else Why.RELEASE_OWED)
    if facts.status == "PROCESSING":
        return explain(Why.PICK_UNANSWERED if flagged else Why.PICKING)
    if facts.status == "PREVIEWED":
        return explain(Why.QUOTE_LAPSED if facts.overdue else Why.QUOTE_OPEN)
    return explain(Why.ENDED)


def diagnose_restock(facts: RestockFacts) -> Diagnosis:
    """Return why a restock is where it is, and what is safe."""
    attention = facts.attention
    if (why := _restock_contradiction(attention)) is not None:
        return explain(why, attention or "")
    if facts.intent == "RESTOCK":
        return explain(Why.RESTOCK_UNANSWERED if attention else Why.RESTOCK_OWED)
    if facts.intent == "PRICE":
        return explain(Why.PRICE_UNANSWERED if attention else Why.PRICE_OWED)
    if facts.status == "RECEIVING":
        return explain(Why.RECEIVING_UNANSWERED if attention else Why.RECEIVING)
    return explain(Why.ENDED)


RECEIPT_ERRORS: Final = {
    "bad_address": Why.ADDRESS_BAD,
    "smtputf8_unsupported": Why.MAIL_REFUSED,
    "mail_refused": Why.MAIL_REFUSED,
    "mail_deferred": Why.MAIL_SERVER_AWAY,
    "mail_unavailable": Why.MAIL_SERVER_AWAY,
    "mail_not_written": Why.MAIL_SERVER_AWAY,
}


def diagnose_dead_receipt(last_error: str | None) -> Diagnosis:
    """Return why a receipt is a dead letter, from its `last_error`."""
    return explain(RECEIPT_ERRORS.get(last_error or "", Why.MESSAGE_DEAD), last_error or "")


def diagnose_dead_alert(last_error: str | None) -> Diagnosis:
    """Return why an alert is a dead letter, from its `last_error`; an alert that is late is not sent again."""
    error = last_error or ""
    if error == "bad_phone":
        return explain(Why.PHONE_BAD)
    if error == "sms_refused":
        return explain(Why.SMS_REFUSED)
    return explain(Why.SMS_AWAY, error)


def diagnose_switch(reason: str, until: datetime | None) -> Diagnosis:
    """Return why a switch is on, in the operator's own words, and until when."""
    ends = f"until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if until is not None else "until it is switched off"
    return explain(Why.SWITCH_ON, f"{reason}; {ends}")


def _restock_contradiction(attention: str | None) -> Why | None:
    if attention is None or attention in {ATTENTION_NO_ANSWER, ATTENTION_NO_PEER_ANSWER}:
        return None
    if attention == ATTENTION_COUNTS_DIFFER:
        return Why.MANIFEST_CONTRADICTED
    return Why.DELIVERY_LOST if attention.startswith(ATTENTION_DELIVERY_LOST) else Why.OTHER


def _order_contradiction(attention: str | None) -> Why | None:
    if attention is None or attention == ATTENTION_NO_ANSWER:
        return None
    if attention == ATTENTION_PICKED_ELSE:
        return Why.COUNTS_CONTRADICTED
    return Why.CONTRADICTED if attention.startswith(ATTENTION_CONTRADICTED) else Why.OTHER
