"""The tables of docs/RELIABILITY.md show the figures that the last run of each proof recorded."""

from __future__ import annotations

import json

from tests.proofs.prove_all import BEGIN, END, PAGE, RECORD, render


def test_figures_of_the_page_equal_the_record_and_all_proofs_hold() -> None:
    record = json.loads(RECORD.read_text())
    figures = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert figures.strip() == render(record["parts"], record["caught"])
    assert all(row["holds"] for row in record["parts"].values())
