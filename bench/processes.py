"""Modules of the benchmark in processes of their own, which speak by lines of standard input and output."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT: Final = Path(__file__).resolve().parent.parent
END_S: Final = 30.0


@asynccontextmanager
async def open_module(module: str, *arguments: str, quiet: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m module arguments` with pipes; at the end its standard input is closed, and it is waited for.

    `quiet`: its standard error is thrown away.
    """
    pipe = asyncio.subprocess.PIPE
    stderr = asyncio.subprocess.DEVNULL if quiet else None
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=pipe, stdout=pipe, stderr=stderr, cwd=ROOT
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await _wait_or_kill(process)


async def write_line(process: asyncio.subprocess.Process, line: bytes) -> None:
    """Write one line to a process's standard input."""
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    await process.stdin.drain()


async def read_line(process: asyncio.subprocess.Process, within_s: float) -> bytes:
    """Return the next line of a process's standard output.

    Raises TimeoutError after `within_s` seconds, RuntimeError if the process ended without it.
    """
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the benchmark ended without output")
    return line


async def _wait_or_kill(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
