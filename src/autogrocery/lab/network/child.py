"""One role as a child process: launched, ready once it sends READY=1 (sd_notify), stopped."""

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
MAX_REASON_CHARACTERS = 500


class ChildError(StartError):
    """A role ended or did not become ready; the message includes the last line of its log."""


class Child:
    """Runs the process of `role`; call `launch` again after a crash. Fork in the main thread."""

    def __init__(self, role: Role, environ: Mapping[str, str], log_file: Path, sockets: Path) -> None:
        """`sockets` is a private directory with a short path, for the notify socket."""
        self.role = role
        self.name = role.name
        self._environ = dict(environ)
        self._log_file = log_file
        self._notify_path = sockets / f"{role.name}.ready"
        self._notify_socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def launch(self) -> None:
        """Start the process and return at once; raises ChildError if the program can't be started."""
        self._is_ready = False
        self._open_notify_socket()
        log = log_files.append_to(self._log_file)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the table of roles
                self.role.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ | {"NOTIFY_SOCKET": str(self._notify_path)},
                start_new_session=True,  # Ctrl-C reaches only the supervisor, which stops the roles in order
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
        """Return whether READY=1 was received; raises ChildError if the process has ended."""
        assert self._notify_socket is not None, "launch comes first"
        with suppress(BlockingIOError):
            while not self._is_ready:
                self._is_ready = b"READY=1" in self._notify_socket.recv(MESSAGE_BYTES).split(b"\n")
        if not self._is_ready and self.poll() is not None:
            raise ChildError(self.exit_report())
        return self._is_ready

    def exit_report(self) -> str:
        """Return in one line how the process ended: its own reason, which is the last line of its log."""
        status = self.poll()
        how = f"was killed by signal {-status}" if status and status < 0 else f"ended with status {status}"
        last = log_files.tail(self._log_file, lines=1).strip()[:MAX_REASON_CHARACTERS]
        return f"{self.name} {how}: {last.removeprefix(f'autogrocery {self.name}: ')}; its log is {self._log_file}"

    def clean_up(self) -> None:
        """Kill what is left of the process group."""
        if self._process is not None:
            _kill_group(self._process)

    def kill(self) -> None:
        """Send SIGKILL, as a crash would end it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def stop(self, timeout_s: float) -> None:
        """Send SIGTERM, after `timeout_s` SIGKILL to the whole process group; returns when the process has ended."""
        process, self._process = self._process, None
        if process is not None:
            deadline = time.monotonic() + timeout_s
            if process.poll() is None:
                process.terminate()
            while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(POLL_S)
            _kill_group(process)
            process.wait()
        if self._notify_socket is not None:
            self._notify_socket.close()
            self._notify_socket = None
            self._notify_path.unlink(missing_ok=True)

    def _open_notify_socket(self) -> None:
        """Bind a new socket, so that a late message of the previous process is not read."""
        if self._notify_socket is not None:
            self._notify_socket.close()
        self._notify_path.unlink(missing_ok=True)
        self._notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify_socket.settimeout(0)
        self._notify_socket.bind(str(self._notify_path))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # the group id is the leader's pid, even when it has ended
