"""One role as a child process: started, heard when it says READY=1, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.process.run import StartError
from autogrocery.lab import log_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autogrocery.lab.network.roles import Role

POLL_S = 0.01
MESSAGE_BYTES = 4_096


class ChildError(StartError):
    """A role ended, or did not get ready; the message shows the end of its log."""


class Child:
    """The process of `role`, one after the other: `launch` again after a crash. Fork in the main thread."""

    def __init__(self, role: Role, environ: Mapping[str, str], log_file: Path, sockets: Path) -> None:
        """Keep the arguments; `sockets` is a directory of ours with a short path."""
        self.role = role
        self.name = role.name
        self._environ = dict(environ)
        self._log_file = log_file
        self._address = sockets / f"{role.name}.ready"
        self._ears: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def launch(self) -> None:
        """Start the process and return at once; raises ChildError when there is no such program."""
        self._is_ready = False
        self._listen()
        log = log_files.append_to(self._log_file)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the table of roles
                self.role.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ | {"NOTIFY_SOCKET": str(self._address)},
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, in order
                preexec_fn=dies_with_us(signal.SIGTERM),  # noqa: PLW1509 - two system calls, no lock is taken
            )
        except OSError as error:
            raise ChildError(f"{self.name} can't be started: {error.strerror}") from None
        finally:
            os.close(log)

    def poll(self) -> int | None:
        """Exit status of the process, None while it runs."""
        return self._process.poll() if self._process else None

    def ready(self) -> bool:
        """Whether it has said so; raises ChildError when it has ended instead."""
        assert self._ears is not None, "launch comes first"
        with suppress(BlockingIOError):
            while not self._is_ready:
                self._is_ready = b"READY=1" in self._ears.recv(MESSAGE_BYTES).split(b"\n")
        if not self._is_ready and self.poll() is not None:
            raise ChildError(self.obituary())
        return self._is_ready

    def obituary(self) -> str:
        """Say how it ended, with the end of its log."""
        status = self.poll()
        how = f"was killed by signal {-status}" if status and status < 0 else f"ended with status {status}"
        return f"{self.name} {how}; the end of {self._log_file}:\n{log_files.tail(self._log_file)}"

    def clear(self) -> None:
        """End what the process left of its group."""
        if self._process is not None:
            _kill_group(self._process)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def stop(self, timeout_s: float) -> None:
        """Send SIGTERM, after `timeout_s` SIGKILL; then nothing of its process group is left."""
        process, self._process = self._process, None
        if process is not None:
            deadline = time.monotonic() + timeout_s
            if process.poll() is None:
                process.terminate()
            while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process is no event of the loop's
                await asyncio.sleep(POLL_S)
            _kill_group(process)
            process.wait()
        if self._ears is not None:
            self._ears.close()
            self._ears = None
            self._address.unlink(missing_ok=True)

    def _listen(self) -> None:
        """Hear this process only: what an earlier one said too late is not read."""
        if self._ears is not None:
            self._ears.close()
        self._address.unlink(missing_ok=True)
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ears.settimeout(0)
        self._ears.bind(str(self._address))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # the group bears the number of its leader, dead or alive
