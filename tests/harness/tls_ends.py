"""Ends of links: identities of a directory of keys, and what a bare TLS client sees of a server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from typing import TYPE_CHECKING

from autogrocery.kit.security.tls import Identity

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 20.0


def identity(directory: Path, name: str) -> Identity:
    """One that looks at its files at every connection."""
    return Identity(directory / "ca.crt", directory / f"{name}.crt", directory / f"{name}.key", look_every_s=0)


def intruder(keys: Path, strangers: Path, name: str) -> ssl.SSLContext:
    """A client that believes us and shows a certificate with one of our names, by another CA."""
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(strangers / f"{name}.crt", strangers / f"{name}.key")
    return context


async def certificate_at(port: int, shown: Identity | ssl.SSLContext) -> bytes:
    """Shake hands at `port` of loopback and return the server's certificate; raises OSError if it refuses us."""
    return await asyncio.to_thread(_shake_hands, port, shown)


def _shake_hands(port: int, shown: Identity | ssl.SSLContext) -> bytes:
    context = shown.current().client if isinstance(shown, Identity) else shown
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as line,
        context.wrap_socket(line, suppress_ragged_eofs=False) as tls,
    ):
        found = tls.getpeercert(binary_form=True)
        tls.sendall(b"\0")
        if not tls.recv(1):  # in TLS 1.3 a server says what it thinks of our certificate only now
            raise ConnectionResetError("reset")
    assert found is not None
    return found


def old_fashioned(shown: Identity, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> ssl.SSLContext:
    """One that speaks TLS 1.1 and nothing later."""
    context = shown.current().client
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context = shown.current().server
        context.sni_callback = None  # else it would take the modern ones
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
