"""Child processes that end with their parent, even if it is killed: PR_SET_PDEATHSIG of Linux."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import Signals

PR_SET_PDEATHSIG = 1


def dies_with_us(number: Signals) -> Callable[[], None]:
    """Return a `preexec_fn` after which the kernel sends signal `number` to the child when its parent thread ends.

    Fork from the main thread, which lives as long as the process. Except on Linux the function does nothing.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # the parent died before prctl
            os._exit(1)

    return arm
