"""Every proof in its long form, one after the other; writes the figures into docs/RELIABILITY.md (`make prove-all`).

`--only WORD` runs the parts whose name has that word and keeps the other figures; `--render` only writes the page anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "RELIABILITY.md"
RECORD = ROOT / "docs" / "reliability.json"
BEGIN, END = "<!-- figures: written by `make prove-all` -->", "<!-- end of figures -->"
PROVE_JSON, PROVE_HTML, CAUGHT = (ROOT / "out" / name for name in ("prove.json", "prove.html", "planted.json"))


class Part(Struct, frozen=True):
    """One proof: what it is called, what runs it, and how it is told to do everything."""

    name: str
    arguments: tuple[str, ...]
    environ: dict[str, str] = {}


def _tests(*folders: str) -> tuple[str, ...]:
    return ("pytest", "-n", "2", "-q", "--timeout", "3600", *folders)


EVERYTHING = {"PROVE_EVERYTHING": "1"}
PARTS = (
    Part("protocol model, every world", _tests("tests/model")),
    Part("every I/O point, every mode", _tests("tests/enumeration"), EVERYTHING),
    Part("step battery", _tests("tests/battery"), EVERYTHING),
    Part("simulation, 5,000 seeds", ("tests.simulation", "--seeds", "5000")),
    Part("memory ports against PostgreSQL", ("tests.simulation.differential", "--lists", "5000")),
    Part("state machine over HTTP", _tests("tests/stateful"), {"STATEFUL_EXAMPLES": "500"}),
    Part("fault proxy before every port", _tests("tests/fault_proxy")),
    Part("failover to a standby", _tests("tests/failover"), {"FAILOVER_SECONDS": "60"}),
    Part("whole network, 10 minutes of disasters",
         ("autogrocery", "prove", "--minutes", "10", "--seed", "7", "--json", str(PROVE_JSON), "--html", str(PROVE_HTML))),
    Part("planted bugs", ("tests.planted", str(CAUGHT))),
)  # fmt: skip


def run(part: Part, folder: Path) -> dict[str, Any]:
    """Run one part, its output passed through; returns its row."""
    file = folder / "figures.jsonl"
    file.unlink(missing_ok=True)
    started_at = time.monotonic()
    print(f"--- {part.name}: python -m {' '.join(part.arguments)}", flush=True)
    environ = {**os.environ, **part.environ, "PROVE_FIGURES": str(file)}
    code = subprocess.run([sys.executable, "-m", *part.arguments], cwd=ROOT, env=environ, check=False).returncode
    figures: dict[str, int] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        for name, count in json.loads(line).items():
            figures[name] = figures.get(name, 0) + count
    return {"holds": code == 0, "took_s": round(time.monotonic() - started_at), "figures": figures}


def render(rows: dict[str, Any], caught: dict[str, list[str]]) -> str:
    """Return the generated part of the page."""
    lines = ["| proof | figures | time | holds |", "| --- | --- | --- | --- |"]
    for part in PARTS:
        row = rows.get(part.name)
        if row is None:
            lines.append(f"| {part.name} | not run | | |")
            continue
        told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in row["figures"].items())
        lines.append(f"| {part.name} | {told} | {row['took_s']} s | {'yes' if row['holds'] else '**no**'} |")
    lines += ["", "| planted bug | caught by |", "| --- | --- |"]
    lines += [f"| {bug} | {', '.join(by) or ('nobody, rightly' if bug == 'no bug at all' else '**nobody**')} |"
              for bug, by in caught.items()]  # fmt: skip
    return "\n".join(lines)


def write(record: dict[str, Any]) -> None:
    """Keep the record, and put its tables into the page."""
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{render(record['parts'], record['caught'])}\n\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--render", action="store_true")
    chosen = parser.parse_args()
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {"parts": {}, "caught": {}}
    wanted = [part for part in PARTS if chosen.only in part.name and not chosen.render]
    PROVE_JSON.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in wanted:
            record["parts"][part.name] = run(part, Path(folder))
            if part.arguments[0] == "tests.planted" and CAUGHT.exists():
                record["caught"] = json.loads(CAUGHT.read_text())
            write(record)
    write(record)
    return 0 if all(record["parts"][part.name]["holds"] for part in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
