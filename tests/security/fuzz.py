"""Schemathesis on the whole OpenAPI document of a running gateway: `python -m tests.security.fuzz --examples 500`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autogrocery.kit.pg.migrate import migrate
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.gateway_process import start_gateway_process
from tests.harness.homes import temporary_home
from tests.security.callers import truck

if TYPE_CHECKING:
    from tests.harness.running_gateway import RunningGateway

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
DEVICES: Final = 40
PHASES: Final = "examples,coverage,fuzzing,stateful"
SEED: Final = 20261127
KEPT: Final = ("PATH", "PYTHONPATH", "HOME", "LANG")


async def fuzz(
    gateway: RunningGateway, directory: Path, *, examples: int, phases: str = PHASES, out: int | None = None
) -> int:
    """Call every operation `examples` times in each phase, as one of DEVICES devices or trucks.

    Returns Schemathesis's exit code. It prints to the file descriptor `out`, or to this process's output.
    """
    tokens = directory / "tokens.json"
    known = {
        "device": [(await gateway.device()).token for _ in range(DEVICES)],
        "truck": [await truck(gateway) for _ in range(DEVICES)],
    }
    tokens.write_text(json.dumps(known), encoding="ascii")
    environ = {name: os.environ[name] for name in KEPT if name in os.environ}
    environ |= {"FUZZ_TOKENS": str(tokens), "SCHEMATHESIS_HOOKS": "tests.security.fuzz_hooks", "NO_COLOR": "1"}
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), environ.get("PYTHONPATH", "")])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
        f"{gateway.public}/openapi.json",
        "--phases",
        phases,
        "--max-examples",
        str(examples),
        "--seed",
        str(SEED),
        "--generation-database",
        "none",
        "--no-color",
        stdout=out,
        stderr=out,
        env=environ,
        cwd=directory,
    )
    return await process.wait()


async def whole(examples: int, phases: str) -> int:
    """Run on a new gateway and a new database."""
    with temporary_home() as home:
        return await _whole(home, examples, phases)


async def _whole(home: Path, examples: int, phases: str) -> int:
    server = EmbeddedPostgres(home / "pg", find_binaries(os.environ))
    server.start()
    try:
        await server.ensure_database("fuzz")
        await migrate(server.dsn("fuzz"), "autogrocery.gateway.store.migrations", "public")
        (home / "gateway").mkdir()
        async with start_gateway_process(server.dsn("fuzz"), home / "gateway") as role:
            code = await fuzz(role.gateway, home, examples=examples, phases=phases)
            audit = await role.gateway.request("GET", "/internal/audit", inside=True)
        errors = [line for line in role.lines() if line["level"] == "error"]
        print(f"audit clean: {audit.json['clean']}; errors in the gateway's log: {len(errors)}")  # noqa: T201
        return 1 if code or errors or not audit.json["clean"] else 0
    finally:
        server.stop()


def main() -> int:
    """Parse the command line and run; return 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500, help="for each operation and phase")
    parser.add_argument("--phases", default=PHASES)
    arguments = parser.parse_args()
    return asyncio.run(whole(arguments.examples, arguments.phases))


if __name__ == "__main__":
    sys.exit(main())
