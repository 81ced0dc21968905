"""Restart the peer by the operator's command, and wait until it answers again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.lab.conformance.line import Failed, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COMMAND_S: Final = 60.0
ANSWERS_S: Final = 60.0
POLL_S: Final = 0.3
SHOWN_CHARS: Final = 200


class Restart:
    """The operator's restart command; `answers` makes one harmless call and raises Failed while the peer is down."""

    def __init__(self, command: str, answers: Callable[[], Awaitable[None]]) -> None:
        self._command = command
        self._answers = answers

    async def run(self) -> None:
        """Restart the peer; raises Failed if the command fails, or if the peer does not answer again in time."""
        try:
            async with asyncio.timeout(COMMAND_S):
                await self._run_command()
        except TimeoutError:
            raise Failed(
                f"--restart-command did not return within {COMMAND_S:g} s: it must leave the peer behind"
            ) from None
        await wait_for_answers(self._answers, ANSWERS_S)

    async def _run_command(self) -> None:
        # The output goes nowhere: a peer left in the background would hold a pipe open, and this would wait for it.
        process = await asyncio.create_subprocess_shell(
            self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if code != 0:
            raise Failed(f"--restart-command ended with exit code {code}: {self._command[:SHOWN_CHARS]}")


async def wait_for_answers(answers: Callable[[], Awaitable[None]], within_s: float) -> None:
    """Wait until the peer answers; raises Failed with its last answer if it does not."""
    give_up_at = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            return await answers()
        except Unimplemented:
            raise
        except Failed:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
        await asyncio.sleep(POLL_S)
