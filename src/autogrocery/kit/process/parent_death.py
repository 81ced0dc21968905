"""A child that does not outlive its parent, even when the parent is killed: PR_SET_PDEATHSIG of Linux."""

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
    """Return a `preexec_fn`: the kernel sends `number` to the child when the thread that forked it ends.

    So fork from a thread that lives as long as the process does: the main one. Elsewhere than on Linux it does nothing.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return arm
