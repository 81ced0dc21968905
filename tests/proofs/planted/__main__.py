"""Run every suite against every planted bug and report which suite caught which bug: `python -m tests.proofs.planted
[FILE]`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.proofs.planted.bugs import BUGS, Bug
from tests.proofs.planted.planting import TESTS_FAILED, plant, run, suite_of

SUITE_S = 900.0
AT_ONCE = 2  # a suite waits for about half of its time
SUITES = {
    "unit and race tests": suite_of(
        "tests/integration/gateway/orders tests/integration/inventory"
        " tests/unit/kit/http/test_http_wire.py tests/integration/gateway/http"
    ),
    "model": suite_of("tests/proofs/model"),
    "step battery": suite_of("tests/proofs/battery"),
    "every point": suite_of("tests/proofs/enumeration -k 'ends_right'"),
    "real kills": suite_of("tests/proofs/enumeration/test_real_kills.py"),
    "simulation": suite_of("tests/proofs/simulation/test_simulation.py"),
    "prove": "autogrocery prove --minutes 0.5",
}


def catches(suite: str, source: Path) -> bool:
    """Whether a suite fails: exit code 1, of pytest as of a prove run."""
    try:
        return run(suite, source, SUITE_S).returncode == TESTS_FAILED
    except subprocess.TimeoutExpired:
        return False


def caught_by(bug: Bug) -> list[str]:
    """Return the suites that catch a bug, and print them."""
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        source = plant(bug, Path(folder))
        found = [name for name, suite in SUITES.items() if catches(suite, source)]
    print(f"{bug.name}: {', '.join(found) or 'none'} ({time.monotonic() - started_at:.0f} s)", flush=True)
    return found


def main() -> int:
    bugs = (*BUGS, Bug("no bug at all", (), ""))
    with ThreadPoolExecutor(AT_ONCE) as workers:
        caught = dict(zip((bug.name for bug in bugs), workers.map(caught_by, bugs), strict=True))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(caught, indent=2) + "\n")
    return 0 if not caught.pop("no bug at all") and all(caught.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
