"""A client generated from docs/openapi.json in TypeScript makes an order. `make typescript-client` installs it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.harness.running_gateway import serve_gateway

HERE = Path(__file__).parent / "typescript"
ROOT = Path(__file__).parents[2]
STEP_S = 120.0
pytestmark = [
    pytest.mark.timeout(4 * STEP_S),
    pytest.mark.skipif(
        shutil.which("node") is None or not (HERE / "node_modules" / "typescript").is_dir(),
        reason="node, or what `make typescript-client` installs, is not here",
    ),
]


async def run(*words: str) -> str:
    """Run a step in the client's directory; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        *words, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(STEP_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, (out + err).decode()[-2_000:]
    return out.decode()


async def test_generated_client_makes_a_whole_order(module_dsn: str) -> None:
    modules = HERE / "node_modules"
    document = str(ROOT / "docs" / "openapi.json")
    await run(
        "node",
        str(modules / "openapi-typescript" / "bin" / "cli.js"),
        document,
        "--default-non-nullable=false",
        "-o",
        "api.d.ts",
    )
    await run("node", str(modules / "typescript" / "bin" / "tsc"), "-p", ".")
    async with serve_gateway(module_dsn) as gateway:
        printed = json.loads(await run("node", "built/order.js", gateway.public, "fridge-typescript"))
    order = printed["order"]
    assert (order["status"], order["total_cents"], printed["listed"]) == ("PROCESSING", 258, [order["order_id"]])
    assert [robot["robot_class"] for robot in order["robots"]]
