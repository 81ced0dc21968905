"""Memory that stays in memory: no core dump, and no look inside for another process of the same user (prctl(2), Linux)."""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Keep secrets and passwords of this process out of core files, and out of reach of ptrace and /proc/PID/environ.

    Children inherit the first, RLIMIT_CORE, and call this for the second, which ends with execve. A kernel that pipes
    core dumps to a program ignores RLIMIT_CORE and heeds the second. Elsewhere than on Linux only the first is done.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
