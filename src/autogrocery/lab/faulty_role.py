"""Run a role as `autogrocery ROLE` does, with the faults of AUTOGROCERY_FAULTS armed: for proofs only.

`AUTOGROCERY_FAULTS="orders.add:kill-after:2" python -m autogrocery.lab.faulty_role gateway`
(`point:mode[:nth call]`, see `autogrocery.kit.process.faults`). A production role does not read the variable.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from autogrocery.kit.process import faults
from autogrocery.kit.process.run import run

if TYPE_CHECKING:
    from collections.abc import Mapping


def run_faulty(role: str, environ: Mapping[str, str]) -> int:
    """Arm the faults of `environ` in this process, then run the role; returns its exit code."""
    faults.arm_for_life(faults.parse(environ.get("AUTOGROCERY_FAULTS", "")))
    return run(role, import_module(f"autogrocery.{role}.app").main, environ)


if __name__ == "__main__":
    sys.exit(run_faulty(sys.argv[1], os.environ))
