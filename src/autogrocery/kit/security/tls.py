"""Who we are and whom we trust: a certificate, its key and the CA of all peers, read again whenever the files are replaced.

Both ends of a link show a certificate of the CA, over TLS 1.2 or later. A peer is known by a DNS name among the subject
alternative names of its certificate: the one kind of name that every TLS library checks by itself.
"""

from __future__ import annotations

import ssl
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.key_files import content_of, stamp_of, unreadable
from autogrocery.kit.security.links import refuse_plaintext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.kit.security.links import LinkSettings

LOOK_EVERY_S: Final = 1.0
SETTLE_S: Final = 1.0  # what a start grants to somebody who is replacing the files one after the other
READ_AGAIN_S: Final = 0.02
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
OTHERS_MAY: Final = 0o077
OTHERS_MAY_OF_ROOTS: Final = 0o037  # root may let a group read, as libpq allows: so do orchestrators hand keys out
WRONG_PURPOSE: Final = 26  # X509_V_ERR_INVALID_PURPOSE
FLIGHTS: Final = 6  # more than any handshake has


class Material(Struct, frozen=True):
    """What the three files held when they were last whole."""

    ca: bytes
    certificate: bytes
    key: bytes
    names: frozenset[str]
    ends: str
    server: ssl.SSLContext
    client: ssl.SSLContext


class HalfReplacedError(StartError):
    """The files don't belong together: one of them was replaced, and the others may be about to."""


class Identity:
    """The three files of one process. New connections take what the files hold; those that are open stay as they are.

    Files are looked at when a connection is made, at most every `look_every_s` seconds. What can't be used, as when only one
    of them was replaced so far, is logged and not taken. Safe to ask from any thread: gRPC does from its own.
    """

    def __init__(
        self, ca: Path, certificate: Path, key: Path, name: str = "", *, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        """Read the files; raises StartError naming the variable. A `name` must be among those of the certificate.

        Blocks for at most SETTLE_S if they don't belong together: a renewal may be on its way.
        """
        self._files = {"TLS_CA": ca, "TLS_CERT": certificate, "TLS_KEY": key}
        self._name = name
        self._look_every_s = look_every_s
        self._lock = threading.Lock()
        self._stamp, self._material = self._settled()
        self._look_at = time.monotonic() + look_every_s

    def current(self) -> Material:
        """Return what new connections are made with; the same object until the files change."""
        with self._lock:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + self._look_every_s
                self._look()
            return self._material

    def _look(self) -> None:
        try:
            stamp = self._stamped()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._material = self._read(stamp)
        except StartError as error:
            log.warning("certificate_not_taken", reason=str(error))
        else:
            log.info("certificate_taken", names=sorted(self._material.names), ends=self._material.ends)

    def _settled(self) -> tuple[tuple[tuple[int, ...], ...], Material]:
        over = time.monotonic() + SETTLE_S
        while True:
            stamp = self._stamped()
            try:
                return stamp, self._read(stamp)
            except HalfReplacedError:
                if time.monotonic() >= over:
                    raise
            time.sleep(READ_AGAIN_S)

    def _stamped(self) -> tuple[tuple[int, ...], ...]:
        return tuple(stamp_of(variable, path) for variable, path in self._files.items())

    def _read(self, stamp: tuple[tuple[int, ...], ...]) -> Material:
        _check_private(self._files["TLS_KEY"])
        ca, certificate, key = (_text_of(variable, path) for variable, path in self._files.items())
        peer_certificate = _met(self._files["TLS_CERT"], self._files["TLS_KEY"], ca)
        names = names_of(peer_certificate)
        if not names:
            raise StartError(
                "TLS_CERT: it has no DNS name among its subject alternative names, so nobody could know it"
            )
        if self._name and self._name not in names:
            raise StartError(f"TLS_CERT: it is not for {self._name}, but for {', '.join(sorted(names))}")
        server, client = _context(ssl.PROTOCOL_TLS_SERVER, ca), _context(ssl.PROTOCOL_TLS_CLIENT, ca)
        for context in (server, client):
            _show(context, self._files["TLS_CERT"], self._files["TLS_KEY"])
        server.options |= ssl.OP_NO_TICKET  # a resumed session would not be checked again
        server.num_tickets = 0
        server.sni_callback = self._take_latest
        if self._stamped() != stamp:  # gRPC would be given what was read first, and others what was read last
            raise HalfReplacedError("TLS_CERT and TLS_KEY were replaced while they were read")
        return Material(ca, certificate, key, names, str(peer_certificate.get("notAfter", "")), server, client)

    def _take_latest(self, end: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Let a handshake that begins go on with what the files hold now, CA and all; called with or without SNI."""
        latest = self.current().server
        if end.context is not latest:
            end.context = latest


def identity_of(settings: LinkSettings, name: str = "", links: Mapping[str, str] | None = None) -> Identity | None:
    """Return the identity that TLS_CA, TLS_CERT and TLS_KEY name, None if none is set.

    `links` are addresses, gRPC targets and URLs by their settings. Raises StartError for some of the three, and for a link that
    would be plain text to another machine, or http:// where TLS is set.
    """
    chosen = {"TLS_CA": settings.tls_ca, "TLS_CERT": settings.tls_cert, "TLS_KEY": settings.tls_key}
    missing = [variable for variable, path in chosen.items() if not path]
    for setting, address in (links or {}).items():
        refuse_plaintext(settings, setting, address, secured=not missing or address.startswith("https://"))
        if not missing and address.startswith("http://"):
            raise StartError(f"{setting}: it begins with http://, and TLS_* is set: make it https://")
    if len(missing) == len(chosen):
        return None
    if missing:
        raise StartError(f"{missing[0]} is not set: TLS_CA, TLS_CERT and TLS_KEY go together, all three or none")
    return Identity(Path(settings.tls_ca), Path(settings.tls_cert), Path(settings.tls_key), name)


def toward(name: str, identity: Identity | None) -> dict[str, Any]:
    """Return what an aiohttp request takes to reach the peer called `name`, whatever the host of its URL; nothing without TLS."""
    return {"ssl": identity.current().client, "server_hostname": name} if identity is not None else {}


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the DNS names of a certificate as `getpeercert` tells it."""
    return frozenset(value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS")


def _check_private(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable("TLS_KEY", error) from None
    if stat.S_IMODE(status.st_mode) & (OTHERS_MAY_OF_ROOTS if status.st_uid == 0 else OTHERS_MAY):
        raise StartError("TLS_KEY: others may read the file; chmod 600 it")


def _text_of(variable: str, path: Path) -> bytes:
    found = content_of(variable, path)
    wanted = b"PRIVATE KEY-----" if variable == "TLS_KEY" else b"-----BEGIN CERTIFICATE-----"
    if wanted not in found:
        raise StartError(
            f"{variable}: the file holds no {'key' if variable == 'TLS_KEY' else 'certificate'} in PEM form"
        )
    return found


def _context(protocol: ssl._SSLMethod, ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise StartError("TLS_CA: the file holds no certificate that can be read") from None
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # never ask at a terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise HalfReplacedError("TLS_KEY: it is not the key of TLS_CERT") from None
        raise StartError(f"TLS_CERT or TLS_KEY can't be used ({error.reason or 'malformed'})") from None
    except OSError as error:
        raise StartError(f"TLS_CERT or TLS_KEY can't be read ({error.strerror})") from None


def _met(certificate: Path, key: Path, ca: bytes) -> Mapping[str, Any]:
    """Let the certificate meet itself in memory and return it as a peer sees it: whatever a peer would refuse shows here."""
    for shown_by_client in (True, False):
        client, server = _context(ssl.PROTOCOL_TLS_CLIENT, ca), _context(ssl.PROTOCOL_TLS_SERVER, ca)
        client.check_hostname = False
        (client if shown_by_client else server).verify_mode = ssl.CERT_NONE
        for context in (client, server):
            _show(context, certificate, key)
        try:
            return _handshake(client, server, told_to_server=shown_by_client)
        except ssl.SSLCertVerificationError as error:
            if shown_by_client and error.verify_code == WRONG_PURPOSE:
                continue  # a server's only
            raise StartError(f"TLS_CERT: {error.verify_message}, by TLS_CA") from None
        except ssl.SSLError as error:
            raise StartError(f"TLS_CERT or TLS_KEY can't be used ({error.reason or 'malformed'})") from None
    raise AssertionError


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, *, told_to_server: bool) -> Mapping[str, Any]:
    """Shake hands in memory; returns the client's certificate as told to the server, or the server's as told to the client."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller, called = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(FLIGHTS):
        for end in (caller, called):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return (called if told_to_server else caller).getpeercert() or {}
