"""Run every proof in its long form, one after the other, and write the figures into docs/RELIABILITY.md (`make
prove-all`).

`--only WORD` runs the parts whose name contains the word and keeps the other figures; `--render` only writes the page
again. The matrix of planted bugs takes longer than everything else and runs only when its name is given (`make
prove-planted`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "RELIABILITY.md"
RECORD = ROOT / "docs" / "reliability.json"
BEGIN, END = "<!-- figures: written by `make prove-all` -->", "<!-- end of figures -->"
NO_BUG = "no bug at all"
PROVE_JSON, PROVE_HTML, CAUGHT = (ROOT / "out" / name for name in ("prove.json", "prove.html", "planted.json"))


class Part(Struct, frozen=True):
    """One proof: its name, the arguments of `python -m`, and the environment variables that select the long form."""

    name: str
    arguments: tuple[str, ...]
    environ: dict[str, str] = {}
    only_by_name: bool = False


def _tests(*folders: str) -> tuple[str, ...]:
    return ("pytest", "-n", "2", "--timeout", "3600", *folders)


EVERYTHING = {"PROVE_EVERYTHING": "1"}
PARTS = (
    Part(
        "whole network, 10 minutes of faults",
        (
            "autogrocery",
            "prove",
            "--minutes",
            "10",
            "--seed",
            "7",
            "--json",
            str(PROVE_JSON),
            "--html",
            str(PROVE_HTML),
        ),
    ),
    Part("protocol model, every world", _tests("tests/proofs/model")),
    Part("every I/O point, every mode", _tests("tests/proofs/enumeration"), EVERYTHING),
    Part("step battery", _tests("tests/proofs/battery"), {"BATTERY_EVERY": "1"}),
    Part("simulation, 5,000 seeds", ("tests.proofs.simulation", "--seeds", "5000")),
    Part("memory ports against PostgreSQL", ("tests.proofs.simulation.differential", "--lists", "5000")),
    Part("state machine over HTTP", _tests("tests/proofs/stateful"), {"STATEFUL_EXAMPLES": "500"}),
    Part("fault proxy before every port", _tests("tests/proofs/fault_proxy")),
    Part("failover to a standby", _tests("tests/proofs/failover"), {"FAILOVER_SECONDS": "60"}),
    Part("planted bugs", ("tests.proofs.planted", str(CAUGHT)), only_by_name=True),
)


def run(part: Part, folder: Path) -> dict[str, Any]:
    """Run one part, passing its output through; returns its row of the table."""
    file = folder / "figures.jsonl"
    file.unlink(missing_ok=True)
    started_at = time.monotonic()
    print(f"--- {part.name}: python -m {' '.join(part.arguments)}", flush=True)
    environ = {**os.environ, **part.environ, "PROVE_FIGURES": str(file)}
    code, passed = _watch([sys.executable, "-m", *part.arguments], environ)
    figures: dict[str, int] = {"tests": passed} if passed else {}
    for line in file.read_text().splitlines() if file.exists() else ():
        for name, count in json.loads(line).items():
            figures[name] = figures.get(name, 0) + count
    if str(PROVE_JSON) in part.arguments and PROVE_JSON.exists():
        figures = of_network(json.loads(PROVE_JSON.read_text()))
    if str(CAUGHT) in part.arguments and CAUGHT.exists():
        figures = of_bugs(json.loads(CAUGHT.read_text()))
    return {"holds": code == 0, "took_s": round(time.monotonic() - started_at), "figures": figures}


def _watch(command: list[str], environ: dict[str, str]) -> tuple[int, int]:
    """Run a command, passing its output through; returns its exit code and the printed number of passed tests."""
    passed = 0
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.search(r"\b(\d+) passed", line):
                passed = int(found[1])
    return process.returncode, passed


def of_network(report: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a `prove` run from its --json file."""
    summary = report["summary"]
    share = summary["get_availability_outside_database_downtime"]
    return {
        **{
            name: summary[name]
            for name in ("kills", "pauses", "network_faults", "orders", "violations", "lost_acknowledgements")
        },
        "to recover": f"p50 {summary['recovery']['p50_s']:.1f} s, p99 {summary['recovery']['p99_s']:.1f} s",
        "of GETs answered outside database downtime": f"{share:.2%}",
    }


def of_bugs(caught: dict[str, list[str]]) -> dict[str, int]:
    """Return the figures of the planted bugs; those that their suites recorded are of broken products."""
    bugs = {bug: by for bug, by in caught.items() if bug != NO_BUG}
    return {"bugs": len(bugs), "caught": sum(map(bool, bugs.values()))}


def render(rows: dict[str, Any], caught: dict[str, list[str]]) -> str:
    """Return the generated part of the page."""
    lines = ["| proof | figures | time | holds |", "| --- | --- | --- | --- |"]
    for part in PARTS:
        row = rows.get(part.name)
        if row is None:
            lines.append(f"| {part.name} | not run | | |")
            continue
        figures = ", ".join(
            f"{count:,} {name.replace('_', ' ')}" if isinstance(count, int) else f"{count} {name}"
            for name, count in row["figures"].items()
        )
        lines.append(f"| {part.name} | {figures} | {row['took_s']} s | {'yes' if row['holds'] else '**no**'} |")
    lines += ["", "| planted bug | caught by |", "| --- | --- |"]
    lines += [
        f"| {bug} | {', '.join(by) or ('none, as expected' if bug == NO_BUG else '**none**')} |"
        for bug, by in caught.items()
    ]
    return "\n".join(lines)


def write(record: dict[str, Any]) -> None:
    """Write the record, and its tables into the page."""
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
    asked = [part for part in PARTS if (chosen.only in part.name if chosen.only else not part.only_by_name)]
    wanted = [] if chosen.render else asked
    PROVE_JSON.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in wanted:
            record["parts"][part.name] = run(part, Path(folder))
            if part.arguments[0] == "tests.proofs.planted" and CAUGHT.exists():
                record["caught"] = json.loads(CAUGHT.read_text())
            write(record)
    write(record)
    return 0 if all(record["parts"][part.name]["holds"] for part in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
