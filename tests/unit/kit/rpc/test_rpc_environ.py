"""gRPC obeys the environment that we set for it; a later release may no longer know these variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autogrocery.kit.rpc import environ

ROOT = Path(__file__).parents[4]
CALLS = 200
POOL_THREADS = "event_engine"  # gRPC's name for the threads of its pool
SCRIPT = f"""
import asyncio, os, pathlib
import grpc

async def answer(request, context):
    return request

async def main():
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("desk", {{"ask": grpc.unary_unary_rpc_method_handler(answer)}})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{{port}}") as channel:
        ask = channel.unary_unary("/desk/ask")
        for _ in range({CALLS}):
            await ask(b"", timeout=10)
        woken = 0
        for task in pathlib.Path("/proc/self/task").iterdir():
            if (task / "comm").read_text().startswith("{POOL_THREADS}"):
                woken += int((task / "status").read_text().split("\\nvoluntary_ctxt_switches:")[1].split()[0])
    await server.stop(None)
    print(woken)

asyncio.run(main())
"""


def pool_wakeups(environment: dict[str, str]) -> int:
    """Make CALLS calls in a process of its own; return how often the threads of gRPC's pool were woken meanwhile."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "xperiment" not in done.stderr, done.stderr
    return int(done.stdout)


def test_prepared_environment_makes_grpc_read_sockets_without_its_thread_pool() -> None:
    environment: dict[str, str] = {}
    environ.prepare(environment)
    assert pool_wakeups({}) > CALLS
    assert pool_wakeups(environment) < CALLS / 2


def test_prepare_keeps_variables_that_are_set_already() -> None:
    environment = {"GRPC_EXPERIMENTS": "-tcp_rcv_lowat"}
    environ.prepare(environment)
    assert environment == {**environ.GRPC, "GRPC_EXPERIMENTS": "-tcp_rcv_lowat"}


@pytest.mark.parametrize(
    "start", ["import autogrocery.__main__ as it", "import bench as it", "import tests.conftest as it"]
)
def test_every_entry_point_prepares_the_environment_before_it_imports_grpc(start: str) -> None:
    ending = (
        "early = 'grpc' not in sys.modules; vars(it).get('main', list)(['openapi']);"
        " print(early, os.environ['GRPC_EXPERIMENTS'])"
    )
    kept = {name: value for name, value in os.environ.items() if name not in environ.GRPC}
    done = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {start}; {ending}"],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"True {environ.GRPC['GRPC_EXPERIMENTS']}"
