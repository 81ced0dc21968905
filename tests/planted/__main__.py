"""Run every suite against every planted bug, and say which caught which: `python -m tests.planted [FILE]`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.planted.bugs import BUGS, Bug
from tests.planted.planting import TESTS_FAILED, plant, run, suite_of

SUITE_S = 600.0
SUITES = {
    "unit and race tests": suite_of("tests/gateway tests/inventory tests/kit/test_http_wire.py tests/gateway_http"),
    "model": suite_of("tests/model"),
    "step battery": suite_of("tests/battery"),
    "every point": suite_of("tests/enumeration -k 'mended or kept'"),
    "real kills": suite_of("tests/enumeration/test_real_kills.py"),
    "simulation": suite_of("tests/simulation/test_simulation.py"),
    "prove": "autogrocery prove --minutes 0.5",
}


def catches(suite: str, source: Path) -> bool:
    """Whether a suite fails; a prove run says so by its exit code 1, as pytest does."""
    try:
        return run(suite, source, SUITE_S).returncode == TESTS_FAILED
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    caught: dict[str, list[str]] = {}
    for bug in (*BUGS, Bug("no bug at all", (), "")):
        started_at = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            source = plant(bug, Path(folder))
            caught[bug.name] = [name for name, suite in SUITES.items() if catches(suite, source)]
        print(
            f"{bug.name}: {', '.join(caught[bug.name]) or 'nobody'} ({time.monotonic() - started_at:.0f} s)", flush=True
        )
        if len(sys.argv) > 1:
            Path(sys.argv[1]).write_text(json.dumps(caught, indent=2) + "\n")
    return 0 if not caught.pop("no bug at all") and all(caught.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
