"""TLS identities from a directory of keys, and a bare TLS client to see which certificate a server presents."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from typing import TYPE_CHECKING

from autogrocery.kit.security.tls import Identity

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 20.0


def identity(directory: Path, name: str) -> Identity:
    """Return an identity that re-reads its files at every connection."""
    return Identity(directory / "ca.crt", directory / f"{name}.crt", directory / f"{name}.key", check_every_s=0)


def foreign_client_context(keys: Path, strangers: Path, name: str) -> ssl.SSLContext:
    """Return a client context that trusts our CA and presents a certificate for our name `name` by another CA."""
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(strangers / f"{name}.crt", strangers / f"{name}.key")
    return context


async def certificate_at(port: int, shown: Identity | ssl.SSLContext) -> bytes:
    """Return the certificate (DER) of the server at `port` of loopback; raises OSError if it refuses the client."""
    return await asyncio.to_thread(_shake_hands, port, shown)


def _shake_hands(port: int, shown: Identity | ssl.SSLContext) -> bytes:
    context = shown.current().client if isinstance(shown, Identity) else shown
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection,
        context.wrap_socket(connection, suppress_ragged_eofs=False) as tls,
    ):
        found = tls.getpeercert(binary_form=True)
        tls.sendall(b"\0")
        if not tls.recv(1):  # in TLS 1.3 the server rejects a client's certificate only after the handshake
            raise ConnectionResetError("reset")
    assert found is not None
    return found


def tls_1_1_context(shown: Identity, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> ssl.SSLContext:
    """Return a context that offers TLS 1.1 only."""
    context = shown.current().client
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context = shown.current().server
        context.sni_callback = None  # the callback would switch to the contexts with modern versions
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
