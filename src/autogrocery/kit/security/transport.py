"""Settings of TLS and CURVE between processes, and the rule that nothing leaves this machine in plain text."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError, address

# Hosts of URLs to which a password may be sent without TLS.
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
LOCAL_SCHEMES: Final = ("unix:", "unix-abstract:", "ipc://", "inproc://")


class TlsSettings(Struct, frozen=True, kw_only=True):
    """TLS settings of a process that is connected to others."""

    tls_ca: Annotated[
        str,
        Meta(description="PEM file of the CA of all peers' certificates; with TLS_CERT and TLS_KEY: mutual TLS"),
    ] = ""
    tls_cert: Annotated[str, Meta(description="PEM file of this process's certificate chain")] = ""
    tls_key: Annotated[str, Meta(description="PEM file of the certificate's private key, mode 0600")] = ""
    plaintext_peers: Annotated[
        Literal["refuse", "allow"], Meta(description="allow: connections to other machines may go without TLS or CURVE")
    ] = "refuse"


class PublisherSettings(TlsSettings, frozen=True, kw_only=True):
    """TLS and CURVE settings of a process that publishes on ZeroMQ."""

    curve_secret_key_file: Annotated[str, Meta(description="file of this process's CURVE secret key, mode 0600")] = ""
    curve_allowed_keys_file: Annotated[
        str, Meta(description="publishers: file of the subscribers' public keys, one a line")
    ] = ""


class SubscriberSettings(TlsSettings, frozen=True, kw_only=True):
    """TLS and CURVE settings of a process that subscribes on ZeroMQ."""

    curve_secret_key_file: Annotated[str, Meta(description="file of this process's CURVE secret key, mode 0600")] = ""
    curve_server_key_file: Annotated[str, Meta(description="subscribers: file of the publisher's public key")] = ""


def refuse_plaintext(settings: TlsSettings, setting: str, address: str, *, secured: bool, by: str = "TLS_*") -> None:
    """Raise StartError naming `setting` if `address` would carry plain text between machines.

    `address` is `host:port`, a gRPC target, a ZeroMQ endpoint or a URL, called or listened on. `secured` is whether the
    settings `by` protect it.
    """
    if secured or settings.plaintext_peers == "allow" or is_local(address):
        return
    raise StartError(
        f"{setting}: it would be plain text to other machines:"
        f" set {by}, or PLAINTEXT_PEERS=allow if the network between is yours"
    )


def local_address(name: str, value: str) -> tuple[str, int]:
    """Split `host:port` of a listener without TLS; raises SettingsError naming the variable unless it is loopback."""
    host, port = address(name, value)
    if not is_local(value):
        raise SettingsError(f"{name} is not an address of this machine alone: the listener speaks plain text")
    return host, port


def is_local(place: str) -> bool:
    """Return whether `place` stays on this machine: loopback, a unix socket, or within the process."""
    if place.startswith(LOCAL_SCHEMES):
        return True
    authority = place.rpartition("//")[2].lstrip("/").partition("/")[0]
    host = authority.rpartition(":")[0] or authority
    for scheme in ("ipv4:", "ipv6:", "dns:"):
        host = host.removeprefix(scheme)
    host = host.rpartition("@")[2].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
