"""A role loads nothing of `autogrocery.lab`, which is for development and proofs, nor the gRPC library."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = [
    *(f"autogrocery.{role}.app" for role in ("gateway", "notifier", "inventory", "pricing", "robots", "analytics")),
    "autogrocery.cli.roles",
]
LOADED = "import sys, {module}; print(*(name for name in sys.modules if (name + '.').startswith('{unwanted}.')))"


@pytest.mark.parametrize("unwanted", ["autogrocery.lab", "grpc"])
@pytest.mark.parametrize("module", MODULES)
def test_import_of_a_role_loads_nothing_unwanted(module: str, unwanted: str) -> None:
    script = LOADED.format(module=module, unwanted=unwanted)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
