"""Free ports on loopback that stay ours: chosen below the range from which the kernel serves outgoing connections."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

from autogrocery.kit.process.run import StartError

LOWEST = 20_000
EPHEMERAL_FROM = 32_768  # Linux's default, where /proc doesn't tell
ATTEMPTS = 1_000


class PortTakenError(StartError):
    """Somebody listens there already; the message names the port and the setting."""


def check_free(host: str, port: int, setting: str) -> None:
    """Raise PortTakenError when `host:port` can't be bound, naming the setting that chooses it."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
            raise
        reason = {errno.EADDRINUSE: "is in use", errno.EACCES: "needs privileges"}.get(
            error.errno, f"can't be bound: {host} is no address of this machine"
        )
        raise PortTakenError(f"port {port} {reason}: set {setting} to another, or use --ports auto") from None


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return `count` different ports that nobody holds now; raises StartError when there are none."""
    found: set[int] = set()
    choose = random.SystemRandom()  # not the seeded one: projects side by side must not choose alike
    top = _ephemeral_from()
    for _ in range(ATTEMPTS):
        if len(found) == count:
            return list(found)
        port = choose.randrange(LOWEST, top)
        try:
            _bind(host, port)
        except OSError:
            continue
        found.add(port)
    raise StartError(f"no {count} free ports between {LOWEST} and {top} on {host}")


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections don't count
        probe.bind((host, port))


def _ephemeral_from() -> int:
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_FROM
    return lowest if lowest > LOWEST + ATTEMPTS else EPHEMERAL_FROM
