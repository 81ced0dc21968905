"""Run the demo in each of the surroundings, one after the other: `python -m tests.proofs.surroundings [WORD]`.

A surrounding holds if the demo ends with its exit code: 0 means that every order kept its promises and that the audit
is clean. A refusal is one line on standard error. With a WORD only those run whose name contains it. ORDERS in the
environment is the number of orders.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.homes import temporary_home
from tests.proofs.surroundings.table import SURROUNDINGS, Surrounding

ORDERS = os.environ.get("ORDERS", "20")
TIMEOUT_S = 300
COMMAND = Path(sys.executable).with_name("autogrocery")
PREAMBLE = 'set -euo pipefail\ndemo() { "$COMMAND" demo --orders "$ORDERS" "$@"; }\n'
IN_ITS_OWN_MOUNTS = ("unshare", "--mount")


def run(one: Surrounding) -> str:
    """Run the demo in one of the surroundings; return what is wrong with how it ended, empty if nothing is."""
    with temporary_home(on_disk=True) as place:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "AUTOGROCERY_HOME": str(place / "home"),
            "COMMAND": str(COMMAND),
            "PYTHON": sys.executable,
            "ORDERS": ORDERS,
        }
        shell = ("bash", "-c", PREAMBLE + one.script)
        ended = subprocess.run(
            (*IN_ITS_OWN_MOUNTS, *shell) if one.needs_root else shell,
            cwd=place,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    shown = f"{ended.stdout[-2_000:]}\n{ended.stderr[-2_000:]}"
    if ended.returncode != one.code:
        return f"exit code {ended.returncode}, expected {one.code}\n{shown}"
    if one.code == 0 and "Traceback" in shown:
        return f"a traceback\n{shown}"
    if one.says and not re.fullmatch(one.says + "\n", ended.stderr):
        return f"it does not say {one.says!r}\n{shown}"
    return ""


def main() -> int:
    chosen = [one for one in SURROUNDINGS if not sys.argv[1:] or sys.argv[1] in one.name]
    broken = 0
    for one in chosen:
        if one.needs_root and os.geteuid() != 0:
            print(f"skipped  {one.name}: only root can mount", flush=True)
            continue
        began = time.monotonic()
        wrong = run(one)
        broken += bool(wrong)
        print(
            f"{'broken' if wrong else 'held  '}  exit {one.code}  {time.monotonic() - began:4.0f} s  {one.name}",
            flush=True,
        )
        if wrong:
            print(wrong, flush=True)
    return 1 if broken else 0


sys.exit(main())
