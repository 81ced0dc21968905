"""What an operator may set about the links between processes, and the rule that nothing leaves this machine in plain text."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from autogrocery.kit.process.run import StartError

# Hosts of URLs to which a password may go in the clear.
SAME_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
LOCAL_SCHEMES: Final = ("unix:", "unix-abstract:", "ipc://", "inproc://")


class LinkSettings(Struct, frozen=True, kw_only=True):
    """Of a process that has links to others."""

    tls_ca: Annotated[
        str, Meta(description="PEM file of the CA that all peers' certificates are of; with the next two: mutual TLS")
    ] = ""
    tls_cert: Annotated[str, Meta(description="PEM file of this process's certificate, and what leads to the CA")] = ""
    tls_key: Annotated[str, Meta(description="PEM file of its key; its owner's only (0600)")] = ""
    plaintext_peers: Annotated[
        Literal["refuse", "allow"], Meta(description="whether links to other machines may go without TLS or CURVE")
    ] = "refuse"


class PublisherSettings(LinkSettings, frozen=True, kw_only=True):
    """Of one that publishes on ZeroMQ."""

    curve_secret_key_file: Annotated[
        str, Meta(description="file of this process's CURVE secret key; its owner's only (0600)")
    ] = ""
    curve_allowed_keys_file: Annotated[
        str, Meta(description="at publishers: file of the public keys that may subscribe, one a line")
    ] = ""


class SubscriberSettings(LinkSettings, frozen=True, kw_only=True):
    """Of one that subscribes on ZeroMQ."""

    curve_secret_key_file: Annotated[
        str, Meta(description="file of this process's CURVE secret key; its owner's only (0600)")
    ] = ""
    curve_server_key_file: Annotated[str, Meta(description="at subscribers: file of the publisher's public key")] = ""


def refuse_plaintext(settings: LinkSettings, setting: str, address: str, *, secured: bool, by: str = "TLS_*") -> None:
    """Refuse a link to another machine, or a door open to others, in plain text; raises StartError naming `setting`.

    `address` is `host:port`, a gRPC target, a ZeroMQ endpoint or a URL; `secured` says whether `by` protects it.
    """
    if secured or settings.plaintext_peers == "allow" or is_local(address):
        return
    raise StartError(
        f"{setting}: it would be plain text to other machines: set {by}, or PLAINTEXT_PEERS=allow if the network between is yours"
    )


def is_local(address: str) -> bool:
    """Say whether what goes to `address` stays on this machine: loopback, a unix socket, or within the process."""
    if address.startswith(LOCAL_SCHEMES):
        return True
    place = address.rpartition("//")[2].lstrip("/").partition("/")[0]
    host = place.rpartition(":")[0] or place
    for scheme in ("ipv4:", "ipv6:", "dns:"):
        host = host.removeprefix(scheme)
    host = host.rpartition("@")[2].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
