"""Free loopback ports, below the kernel's ephemeral range so that no outgoing connection takes them."""

from __future__ import annotations

import errno
import random
from pathlib import Path

from autogrocery.kit.process.listening import bind, why_not
from autogrocery.kit.process.run import StartError

LOWEST = 20_000
EPHEMERAL_FROM = 32_768  # Linux's default, used where /proc is not readable
ATTEMPTS = 1_000


class PortTakenError(StartError):
    """The port is in use or can't be bound; the message names the port and the setting that chooses it."""


def check_free(host: str, port: int, setting: str) -> None:
    """Raise PortTakenError if `host:port` can't be bound; `setting` is the variable that chooses it."""
    try:
        bind(host, port).close()
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else why_not(host, port, error)
        raise PortTakenError(f"port {port} {reason}: set {setting} to another, or use --ports auto") from None


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return `count` different ports that are free now. Raises StartError if too few are found."""
    found: set[int] = set()
    choose = random.SystemRandom()  # never seeded: two networks on one machine must not choose the same ports
    top = _ephemeral_from()
    for _ in range(ATTEMPTS):
        if len(found) == count:
            return list(found)
        port = choose.randrange(LOWEST, top)
        try:
            bind(host, port).close()
        except OSError:
            continue
        found.add(port)
    raise StartError(f"no {count} free ports between {LOWEST} and {top} on {host}")


def _ephemeral_from() -> int:
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_FROM
    return lowest if lowest > LOWEST + ATTEMPTS else EPHEMERAL_FROM
