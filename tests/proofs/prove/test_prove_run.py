"""Half a minute of `autogrocery prove`: the whole network with two gateways under continuous faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from autogrocery.lab.scenarios.run import SCENARIOS
from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 270.0  # about 45 s on an idle machine
ENDS = {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home(on_disk=True) as directory:
        yield directory


@pytest.mark.timeout(300)
def test_half_a_minute_of_faults_violates_nothing(home: Path) -> None:
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
    report = json.loads((home / "figures.json").read_text())
    summary, figures = report["summary"], report["figures"]
    assert (summary["violations"], summary["lost_acknowledgements"]) == (0, 0)
    assert summary["kills"] >= 3
    assert summary["network_faults"] >= 1
    assert {fault["kind"] for fault in figures["faults"]} >= {"kill", "database", "network"}
    assert summary["orders"] >= 30
    assert set(figures["orders"]["outcomes"]) & ENDS >= {"COMPLETED", "CANCELLED"}
    assert figures["receipts"] == figures["orders"]["outcomes"]["COMPLETED"]
    assert (figures["restocks"]["deliveries"] > 0, figures["restocks"]["not_terminal"]) == (True, 0)
    assert figures["metrics"]["written"] == figures["metrics"]["received"] > 100
    assert len(figures["invariants"]) >= 30
    assert [(one["name"], one["ok"]) for one in figures["scenarios"]] == [(one.NAME, True) for one in SCENARIOS]
    assert summary["recovery"]["count"] >= 3
    assert "Proven:" in (home / "page.html").read_text()
    assert list((home / "home").iterdir()) == []  # a run without a violation keeps nothing
