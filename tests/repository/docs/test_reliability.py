"""The tables of RELIABILITY are those that the last run of each proof recorded."""

from __future__ import annotations

import json

from tests.proofs.prove_all import BEGIN, END, PAGE, RECORD, render


def test_the_figures_are_the_recorded_ones() -> None:
    record = json.loads(RECORD.read_text())
    figures = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert figures.strip() == render(record["parts"], record["caught"])
    assert all(row["holds"] for row in record["parts"].values())
