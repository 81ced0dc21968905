"""A role that is imported alone loads nothing of `autogrocery.lab`, which is for development and proofs only."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = [
    *(f"autogrocery.{role}.app" for role in ("gateway", "notifier", "inventory", "pricing", "robots", "analytics")),
    "autogrocery.cli.roles",
]
LOADED = "import sys, {module}; print(*(name for name in sys.modules if (name + '.').startswith('autogrocery.lab.')))"


@pytest.mark.parametrize("module", MODULES)
def test_import_of_a_role_loads_nothing_of_lab(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED.format(module=module)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
