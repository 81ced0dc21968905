"""Half a minute of the real thing: two gateways and everything behind them, broken all the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from autogrocery.lab.scenarios.run import SCENARIOS
from tests.harness.places import open_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 270.0  # some 45 s on a machine of its own
ENDS = {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}


@pytest.fixture
def home() -> Iterator[Path]:
    with open_place(on_disk=True) as directory:
        yield directory


@pytest.mark.timeout(300)
def test_half_a_minute_of_disasters_breaks_nothing(home: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "autogrocery",
            "prove",
            "--minutes",
            "0.5",
            "--seed",
            "3",
            "--json",
            str(home / "figures.json"),
            "--html",
            str(home / "page.html"),
        ],
        env={**os.environ, "AUTOGROCERY_HOME": str(home / "home")},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-2_000:]
    told = json.loads((home / "figures.json").read_text())
    summary, figures = told["summary"], told["figures"]
    assert (summary["violations"], summary["lost_acknowledgements"]) == (0, 0)
    assert summary["kills"] >= 3
    assert summary["weathers"] >= 1
    assert {fault["kind"] for fault in figures["faults"]} >= {"kill", "database", "weather"}
    assert summary["orders"] >= 30
    assert set(figures["orders"]["outcomes"]) & ENDS >= {"COMPLETED", "CANCELLED"}
    assert figures["receipts"] == figures["orders"]["outcomes"]["COMPLETED"]
    assert (figures["supplied"]["deliveries"] > 0, figures["supplied"]["not_terminal"]) == (True, 0)
    assert figures["metrics"]["written"] == figures["metrics"]["received"] > 100
    assert len(figures["invariants"]) >= 30
    assert [(one["name"], one["ok"]) for one in figures["scenarios"]] == [(one.NAME, True) for one in SCENARIOS]
    assert summary["recovery"]["count"] >= 3
    assert "Proven:" in (home / "page.html").read_text()
    assert list((home / "home").iterdir()) == []  # of a run in which all held nothing is kept
