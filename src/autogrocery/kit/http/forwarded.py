"""The address of a client behind proxies, from X-Forwarded-For: each proxy appends the address that it saw."""

from __future__ import annotations

import ipaddress


class TrustedProxies:
    """The addresses and networks whose X-Forwarded-For is believed."""

    def __init__(self, networks: str) -> None:
        """`networks` is a comma list; raises ValueError if one is malformed."""
        self._networks = [ipaddress.ip_network(part.strip()) for part in networks.split(",") if part.strip()]

    def client(self, peer: str, forwarded: bytes | None) -> str:
        """Return the client of a connection from `peer` whose request has this X-Forwarded-For field.

        That is the last address which is no trusted proxy's, or the first if all are. A field that is malformed there
        is ignored.
        """
        if not (forwarded and peer and self._networks and self._trusts(peer)):
            return peer
        host = ""
        for entry in reversed(forwarded.decode("latin-1").split(",")):
            host = _host(entry.strip())
            try:
                if not self._trusts(host):
                    break
            except ValueError:
                return peer
        return host

    def _trusts(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        return any(address in network for network in self._networks)


def _host(entry: str) -> str:
    """Return an entry without its port: `192.0.2.1:80` and `[2001:db8::1]:80` have one."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, _port = entry.partition(":")
    return host if colon and ":" not in _port else entry
