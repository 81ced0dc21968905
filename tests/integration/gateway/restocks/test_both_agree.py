"""The audit of both databases: which differences between the two records of a restock are contradictions."""

from __future__ import annotations

import pytest

from autogrocery.cli.network_audit import RESTOCK_RULES
from autogrocery.gateway.store.summaries import RestockSummary as Ours
from autogrocery.inventory.store.summaries import RestockSummary as Theirs

ACCEPTED, REFUSED = True, False
OWING, QUIET = True, False


@pytest.mark.parametrize(
    ("ours", "theirs", "broken"),
    [
        (None, Theirs("RECEIVED", 5, 0), set()),  # an opening stock
        (Ours("ANNOUNCED", REFUSED, OWING, 0, 0), None, set()),
        (Ours("ANNOUNCED", REFUSED, OWING, 0, 0), Theirs("RECEIVING", 1, 0), set()),
        (Ours("RECEIVING", ACCEPTED, QUIET, 0, 0), Theirs("RECEIVED", 5, 0), set()),  # its webhook is on the way
        (Ours("RECEIVED", ACCEPTED, QUIET, 5, 1), Theirs("RECEIVED", 5, 1), set()),
        (Ours("REJECTED", REFUSED, QUIET, 0, 0), None, set()),
        (Ours("REJECTED", REFUSED, QUIET, 0, 0), Theirs("REJECTED", 5, 5), set()),
        (Ours("RECEIVING", ACCEPTED, QUIET, 0, 0), None, {"accepted_deliveries_are_there"}),
        (Ours("REJECTED", REFUSED, QUIET, 0, 0), Theirs("RECEIVING", 0, 0), {"accepted_deliveries_are_there"}),
        (Ours("RECEIVED", ACCEPTED, QUIET, 5, 1), Theirs("RECEIVED", 5, 0), {"deliveries_end_alike"}),
        (Ours("RECEIVED", ACCEPTED, QUIET, 5, 0), Theirs("RECEIVING", 5, 0), {"deliveries_end_alike"}),
        (Ours("REJECTED", ACCEPTED, QUIET, 5, 5), Theirs("RECEIVED", 5, 5), {"deliveries_end_alike"}),
    ],
)
def test_a_contradiction_is_named(ours: Ours | None, theirs: Theirs | None, broken: set[str]) -> None:
    assert {name for name, (_, rule) in RESTOCK_RULES.items() if not rule(ours, theirs)} == broken
