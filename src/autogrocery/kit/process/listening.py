"""Addresses on which this machine listens: how one is bound, why it can't be, and how this machine reaches it."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Final

from autogrocery.kit.process.run import StartError

LOOPBACK: Final = {4: "127.0.0.1", 6: "[::1]"}
ANY: Final = "0.0.0.0"  # noqa: S104 - what an operator asks for with `*`
FIRST_FREE_PORT: Final = 1_024  # lower ones need a privilege


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound to `host:port` and does not listen yet; raises OSError.

    `*` stands for every IPv4 address of this machine.
    """
    name = ANY if host == "*" else host
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # what can be no name in DNS
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from None
    family, kind, protocol, _, place = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of closed connections (TIME_WAIT) are free
        bound.bind(place)
    except BaseException:
        bound.close()
        raise
    return bound


def listen(setting: str, host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket that does not block; raises StartError naming `setting` if it can't listen there."""
    try:
        listener = bind(host, port)
        try:
            listener.listen(backlog)  # two listeners may bind one address; only one may listen
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(cannot_listen(setting, host, port, error)) from None
    listener.settimeout(0)
    return listener


def why_not(host: str, port: int, error: OSError) -> str:
    """Return why `host:port` can't be listened on, as the end of a sentence about it."""
    known = {
        errno.EADDRINUSE: "is in use",
        errno.EADDRNOTAVAIL: f"can't be bound, because {host} is no address of this machine",
        errno.EAFNOSUPPORT: f"can't be bound, because this machine has no {'IPv6' if ':' in host else 'IPv4'}",
    }
    if isinstance(error, socket.gaierror):
        return f"can't be bound, because the name {host} is unknown"
    if error.errno in {errno.EACCES, errno.EPERM}:
        privileged = f"ports below {FIRST_FREE_PORT:,}" if port < FIRST_FREE_PORT else "it"
        return f"can't be bound, because this account lacks the privilege for {privileged}"
    return known.get(error.errno or 0, f"can't be bound ({error.strerror or type(error).__name__})")


def cannot_listen(setting: str, host: str, port: int, error: OSError) -> str:
    """Return one line for the operator: what can't be bound, why, and which setting chooses it."""
    held = "stop what holds it, or " if error.errno == errno.EADDRINUSE else ""
    return f"{setting}: {joined(host, port)} {why_not(host, port, error)}: {held}set {setting} to another address"


def joined(host: str, port: int) -> str:
    """Return `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(endpoint: str) -> str:
    """Return an endpoint as this machine reaches it: all interfaces (`*`, 0.0.0.0, [::]) become loopback.

    `endpoint` is `host:port`, alone or after a scheme such as `tcp://`.
    """
    scheme, slashes, place = endpoint.rpartition("//")
    host, colon, port = place.rpartition(":")
    if host == "*":
        return f"{scheme}{slashes}{LOOPBACK[4]}{colon}{port}"
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return endpoint
    return f"{scheme}{slashes}{LOOPBACK[found.version]}{colon}{port}" if found.is_unspecified else endpoint
