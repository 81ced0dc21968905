"""Protection of the process's memory: no core dump, no ptrace by another process of the same user (prctl(2), Linux)."""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Keep this process's secrets out of core files and out of reach of ptrace and /proc/PID/environ.

    Sets RLIMIT_CORE to 0, which children inherit, and on Linux PR_SET_DUMPABLE to 0, which ends with execve, so that a
    child calls this itself. A kernel that pipes core dumps to a program ignores RLIMIT_CORE and obeys PR_SET_DUMPABLE.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
