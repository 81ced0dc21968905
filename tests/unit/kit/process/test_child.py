"""A child process: its priority, that it is started again, and that it ends with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from autogrocery.kit.process.child import running_child
from tests.harness.waiting import until

NICE = 5
WRITE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} {os.nice(0)}\\n'); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WRITE
PARENT = """
import asyncio, sys
from autogrocery.kit.process.child import running_child
async def main():
    async with running_child("one", sys.argv[1:], {}, nice=0):
        await asyncio.sleep(60)
asyncio.run(main())
"""


def starts(file: Path) -> list[list[int]]:
    return [[int(part) for part in line.split()] for line in file.read_text().splitlines()] if file.exists() else []


def environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_child_that_is_killed_is_started_again_and_ends_with_the_context(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    async with running_child("one", (sys.executable, "-c", WRITE, str(file)), {"A": "b"}, nice=NICE):
        await until(lambda: len(starts(file)) == 1, 10.0)
        ((first, nice),) = starts(file)
        assert nice == min(os.nice(0) + NICE, 19)
        assert environment(first)[0] == b"A=b"
        assert os.getsid(first) == first
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(starts(file)) == 2, 10.0)
        second = starts(file)[1][0]
        assert alive(second)
    assert not alive(second)


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    async with running_child("one", (sys.executable, "-c", STUBBORN, str(file)), {}, nice=0):
        await until(lambda: len(starts(file)) == 1, 10.0)
    assert not alive(starts(file)[0][0])


async def test_a_program_that_cant_be_started_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    async with running_child("one", (str(program), str(tmp_path / "starts")), dict(os.environ), nice=0):
        await asyncio.sleep(0.1)
        program.write_text(f"#!{sys.executable}\n{WRITE}\n")
        program.chmod(0o700)
        await until(lambda: len(starts(tmp_path / "starts")) == 1, 10.0)


async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, sys.executable, "-c", WRITE, str(file))
    await until(lambda: len(starts(file)) == 1, 20.0)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(starts(file)[0][0]), 5.0)
