"""Readiness notification of a supervisor: the sd_notify protocol, which systemd and `autogrocery up` understand."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

SEND_TIMEOUT_S = 1.0


def notify(state: str = "READY=1") -> bool:
    """Send `state` to the socket NOTIFY_SOCKET (a path, or `@name` for an abstract one).

    Returns False if the variable is not set or the socket can't be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
        sender.settimeout(SEND_TIMEOUT_S)
        sender.sendto(state.encode(), address)
        return True
    return False
