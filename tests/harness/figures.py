"""Figures of the proofs for the tables of docs/RELIABILITY.md."""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(**figures: int) -> None:
    """Append the figures as one JSON line to the file that PROVE_FIGURES names; do nothing if it is unset."""
    if file := os.environ.get("PROVE_FIGURES"):
        with Path(file).open("a") as out:
            out.write(json.dumps(figures) + "\n")
