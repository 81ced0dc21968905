"""The diagnosis: every cause has words, every text that the gateway flags a row with has a cause of its own."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from autogrocery.gateway import actions
from autogrocery.gateway.core import diagnosis
from autogrocery.gateway.core.diagnosis import (
    TABLE,
    ActionName,
    OrderFacts,
    RestockFacts,
    Why,
    diagnose_dead_alert,
    diagnose_dead_receipt,
    diagnose_order,
    diagnose_restock,
)
from autogrocery.gateway.core.order import TERMINAL, Intent, Status
from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, RestockIntent
from autogrocery.gateway.store import due

NO_ANSWER: Final = due.NO_CLEAR_ANSWER


def names(found: diagnosis.Diagnosis) -> list[str]:
    return [action.name for action in found.actions]


def test_table_has_a_sentence_for_every_cause() -> None:
    assert set(TABLE) == set(Why)
    assert all(entry.words.endswith(".") for entry in TABLE.values())
    assert set(diagnosis.ACTIONS) == set(ActionName)


@pytest.mark.parametrize(
    ("facts", "cause", "safe"),
    [
        (OrderFacts("PREVIEWED", None, None), Why.QUOTE_OPEN, []),
        (OrderFacts("PREVIEWED", None, None, overdue=True), Why.QUOTE_LAPSED, ["release"]),
        (OrderFacts("PREVIEWED", "DISPATCH", None), Why.DISPATCH_OWED, ["retry_dispatch", "release"]),
        (OrderFacts("PREVIEWED", "DISPATCH", NO_ANSWER), Why.DISPATCH_UNANSWERED, ["retry_dispatch", "release"]),
        (OrderFacts("PREVIEWED", "RELEASE", None), Why.RELEASE_OWED, ["release"]),
        (OrderFacts("PROCESSING", "RELEASE", NO_ANSWER), Why.RELEASE_UNANSWERED, ["release"]),
        (OrderFacts("PROCESSING", None, None), Why.PICKING, ["reconcile"]),
        (OrderFacts("PROCESSING", None, NO_ANSWER), Why.PICK_UNANSWERED, ["reconcile"]),
        (OrderFacts("PROCESSING", None, "robots have it, but inventory says held"), Why.CONTRADICTED, ["reconcile"]),
        (
            OrderFacts("PROCESSING", None, diagnosis.ATTENTION_PICKED_ELSE),
            Why.COUNTS_CONTRADICTED,
            ["reconcile"],
        ),
        (OrderFacts("PROCESSING", None, "a text of another version"), Why.OTHER, ["reconcile"]),
    ],
)
def test_order_has_the_cause_and_actions(facts: OrderFacts, cause: Why, safe: list[str]) -> None:
    found = diagnose_order(facts)
    assert (found.cause, names(found)) == (cause, safe)


@pytest.mark.parametrize(
    ("facts", "cause", "safe"),
    [
        (RestockFacts("ANNOUNCED", "RESTOCK", None), Why.RESTOCK_OWED, ["retry"]),
        (RestockFacts("ANNOUNCED", "RESTOCK", "a peer gives no clear answer"), Why.RESTOCK_UNANSWERED, ["retry"]),
        (RestockFacts("RECEIVED", "PRICE", None), Why.PRICE_OWED, ["retry"]),
        (RestockFacts("RECEIVING", "PRICE", "a peer gives no clear answer"), Why.PRICE_UNANSWERED, ["retry"]),
        (RestockFacts("RECEIVING", None, None), Why.RECEIVING, ["reconcile"]),
        (RestockFacts("RECEIVING", None, NO_ANSWER), Why.RECEIVING_UNANSWERED, ["reconcile"]),
        (
            RestockFacts("RECEIVING", None, "inventory has accepted it, but says unknown"),
            Why.DELIVERY_LOST,
            ["reconcile"],
        ),
        (
            RestockFacts("RECEIVING", None, diagnosis.ATTENTION_COUNTS_DIFFER),
            Why.MANIFEST_CONTRADICTED,
            ["reconcile"],
        ),
        (RestockFacts("RECEIVING", None, "a text of another version"), Why.OTHER, ["reconcile"]),
    ],
)
def test_restock_has_the_cause_and_actions(facts: RestockFacts, cause: Why, safe: list[str]) -> None:
    found = diagnose_restock(facts)
    assert (found.cause, names(found)) == (cause, safe)


def test_ended_rows_offer_nothing() -> None:
    for status in TERMINAL:
        assert diagnose_order(OrderFacts(status, None, None)).cause == Why.ENDED
    for restock_status in RESTOCK_TERMINAL:
        assert diagnose_restock(RestockFacts(restock_status, None, None)).cause == Why.ENDED


def test_every_intent_of_a_living_row_has_a_cause_that_offers_an_action() -> None:
    for intent in Intent:
        for status in set(Status) - TERMINAL:
            assert diagnose_order(OrderFacts(status, intent, None)).actions
    for restock_intent in RestockIntent:
        assert diagnose_restock(RestockFacts("RECEIVING", restock_intent, None)).actions


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("bad_address", Why.ADDRESS_BAD),
        ("mail_refused", Why.MAIL_REFUSED),
        ("mail_unavailable", Why.MAIL_SERVER_AWAY),
        ("something_else", Why.MESSAGE_DEAD),
        (None, Why.MESSAGE_DEAD),
    ],
)
def test_dead_receipt_may_be_replayed(error: str | None, cause: Why) -> None:
    found = diagnose_dead_receipt(error)
    assert (found.cause, names(found)) == (cause, ["replay"])


def test_dead_alert_is_never_replayed() -> None:
    for error in ("bad_phone", "sms_refused", "sms_deferred_503", None):
        assert diagnose_dead_alert(error).actions == ()


def flagged_texts() -> list[str]:
    """Return the constant texts, or the constant beginnings of texts, that actions flag rows with."""
    found = []
    for path in Path(actions.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "flag":
                text = node.args[-1]
                if isinstance(text, ast.JoinedStr):
                    text = text.values[0]
                assert isinstance(text, ast.Constant)
                found.append(text.value)
    return found


def test_every_text_that_a_row_is_flagged_with_has_its_own_cause() -> None:
    texts = flagged_texts()
    assert len(texts) >= 4
    causes = {
        text: {
            diagnose_order(OrderFacts("PROCESSING", None, text)).cause,
            diagnose_restock(RestockFacts("RECEIVING", None, text)).cause,
        }
        - {Why.OTHER}
        for text in texts
    }
    assert all(len(found) == 1 for found in causes.values()), causes
