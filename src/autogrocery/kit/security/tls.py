"""Mutual TLS: a process's certificate, its key and the CA of all peers, reloaded when the files are replaced.

Both ends of a connection present a certificate issued by the CA, over TLS 1.2 or later. A peer is identified by a DNS
name among the subject alternative names of its certificate: the one kind of name that every TLS library checks by
itself.
"""

from __future__ import annotations

import ssl
import stat
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.key_files import file_version, read_key_file, unreadable
from autogrocery.kit.security.transport import refuse_plaintext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.kit.security.transport import TlsSettings

CHECK_EVERY_S: Final = 1.0
CONSISTENT_WITHIN_S: Final = 1.0  # how long a start waits while a renewal replaces the files one after the other
RETRY_AFTER_S: Final = 0.02
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; the defaults of 1.3 are all safe
GROUP_AND_OTHERS: Final = 0o077  # permission bits
FORBIDDEN_IF_ROOT_OWNS: Final = 0o037  # a group may read root's file, as in libpq: orchestrators hand out keys so
WRONG_PURPOSE: Final = 26  # X509_V_ERR_INVALID_PURPOSE
MAX_FLIGHTS: Final = 6  # more than any handshake takes

FilesVersion = tuple[tuple[int, int, int], ...]  # of the three files, see `file_version`


class Material(Struct, frozen=True):
    """The content of the three files when they were last valid, and the SSL contexts made of it.

    `names` are the certificate's DNS names, `not_after` its end as `getpeercert` writes it. `h2_server` and `h2_client`
    are as the other two, and speak HTTP/2 only (ALPN, RFC 9113 §3.2).
    """

    ca: bytes
    certificate: bytes
    key: bytes
    names: frozenset[str]
    not_after: str
    server: ssl.SSLContext
    h2_server: ssl.SSLContext
    client: ssl.SSLContext
    h2_client: ssl.SSLContext


class HalfReplacedError(StartError):
    """Certificate and key don't match: one file was replaced, and the others may follow."""


class Identity:
    """The TLS files of one process. New connections use the files' current content; open connections stay as they are.

    The files are checked when a connection is made, at most every `check_every_s` seconds. Content that can't be used,
    as when only one file was replaced so far, is logged, and the last valid content stays in force. Thread-safe: gRPC
    calls it from a thread of its own.
    """

    def __init__(
        self, ca: Path, certificate: Path, key: Path, name: str = "", *, check_every_s: float = CHECK_EVERY_S
    ) -> None:
        """Read the files; raises StartError naming the variable.

        The certificate must contain `name`, unless it is empty.

        Blocks for at most CONSISTENT_WITHIN_S while certificate and key don't match: a renewal may be replacing them.
        """
        self._files = {"TLS_CA": ca, "TLS_CERT": certificate, "TLS_KEY": key}
        self._name = name
        self._look_every_s = check_every_s
        self._lock = threading.Lock()
        self._version, self._material = self._read_consistent()
        self._check_at = time.monotonic() + check_every_s

    def current(self) -> Material:
        """Return the material for new connections; the same object until the files change."""
        with self._lock:
            now = time.monotonic()
            if now >= self._check_at:
                self._check_at = now + self._look_every_s
                self._reload_if_changed()
            return self._material

    def _reload_if_changed(self) -> None:
        try:
            version = self._current_version()
            if version == self._version:
                return
            self._version = version
            self._material = self._read(version)
        except StartError as error:
            log.warning("certificate_reload_failed", reason=str(error))
        else:
            log.info("certificate_reloaded", names=sorted(self._material.names), not_after=self._material.not_after)

    def _read_consistent(self) -> tuple[FilesVersion, Material]:
        deadline = time.monotonic() + CONSISTENT_WITHIN_S
        while True:
            version = self._current_version()
            try:
                return version, self._read(version)
            except HalfReplacedError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(RETRY_AFTER_S)

    def _current_version(self) -> FilesVersion:
        return tuple(file_version(variable, path) for variable, path in self._files.items())

    def _read(self, version: FilesVersion) -> Material:
        _check_private(self._files["TLS_KEY"])
        ca, certificate, key = (_read_pem(variable, path) for variable, path in self._files.items())
        verified = _verify_against_ca(self._files["TLS_CERT"], self._files["TLS_KEY"], ca)
        names = dns_names_of(verified)
        if not names:
            raise StartError(
                "TLS_CERT: it has no DNS name among its subject alternative names, so no peer could identify it"
            )
        if self._name and self._name not in names:
            raise StartError(f"TLS_CERT: it is not for {self._name}, but for {', '.join(sorted(names))}")
        server, h2_server = _context(ssl.PROTOCOL_TLS_SERVER, ca), _context(ssl.PROTOCOL_TLS_SERVER, ca)
        client, h2_client = _context(ssl.PROTOCOL_TLS_CLIENT, ca), _context(ssl.PROTOCOL_TLS_CLIENT, ca)
        for context in (server, h2_server, client, h2_client):
            _load_chain(context, self._files["TLS_CERT"], self._files["TLS_KEY"])
        for context in (h2_server, h2_client):
            context.set_alpn_protocols(["h2"])
        for name, context in (("server", server), ("h2_server", h2_server)):
            context.options |= ssl.OP_NO_TICKET  # a resumed session would not be checked again
            context.num_tickets = 0
            context.sni_callback = partial(self._use_current, name)
        # The content was read above for gRPC and by path for the SSL contexts: both must have seen the same files.
        if self._current_version() != version:
            raise HalfReplacedError("TLS_CERT and TLS_KEY were replaced while they were read")
        not_after = str(verified.get("notAfter", ""))
        return Material(ca, certificate, key, names, not_after, server, h2_server, client, h2_client)

    def _use_current(self, context: str, end: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Switch a server handshake to the current certificate and CA; OpenSSL calls this with and without SNI."""
        latest = getattr(self.current(), context)
        if end.context is not latest:
            end.context = latest


def identity_of(settings: TlsSettings, name: str = "", links: Mapping[str, str] | None = None) -> Identity | None:
    """Return the identity that TLS_CA, TLS_CERT and TLS_KEY name, None if none of them is set.

    `links` maps names of settings to the addresses, gRPC targets and URLs that they hold. Raises StartError if only
    some of the three are set, if a link would carry plain text to another machine, or if it is http:// although TLS is
    set.
    """
    paths = {"TLS_CA": settings.tls_ca, "TLS_CERT": settings.tls_cert, "TLS_KEY": settings.tls_key}
    missing = [variable for variable, path in paths.items() if not path]
    for setting, address in (links or {}).items():
        refuse_plaintext(settings, setting, address, secured=not missing or address.startswith("https://"))
        if not missing and address.startswith("http://"):
            raise StartError(f"{setting}: it begins with http://, and TLS_* is set: make it https://")
    if len(missing) == len(paths):
        return None
    if missing:
        raise StartError(f"{missing[0]} is not set: TLS_CA, TLS_CERT and TLS_KEY go together, all three or none")
    return Identity(Path(settings.tls_ca), Path(settings.tls_cert), Path(settings.tls_key), name)


def tls_arguments(name: str, identity: Identity | None) -> dict[str, Any]:
    """Return the keyword arguments of an aiohttp request that make it require `name` in the peer's certificate.

    The host of the URL is not checked. Without an identity the dict is empty.
    """
    return {"ssl": identity.current().client, "server_hostname": name} if identity is not None else {}


def dns_names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the DNS names among the subject alternative names of a certificate in the form of `getpeercert`."""
    return frozenset(value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS")


def _check_private(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable("TLS_KEY", error) from None
    if stat.S_IMODE(status.st_mode) & (FORBIDDEN_IF_ROOT_OWNS if status.st_uid == 0 else GROUP_AND_OTHERS):
        raise StartError("TLS_KEY: others may read the file; chmod 600 it")


def _read_pem(variable: str, path: Path) -> bytes:
    found = read_key_file(variable, path)
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


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # never prompt at a terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise HalfReplacedError("TLS_KEY: it is not the key of TLS_CERT") from None
        raise StartError(f"TLS_CERT or TLS_KEY can't be used ({error.reason or 'malformed'})") from None
    except OSError as error:
        raise StartError(f"TLS_CERT or TLS_KEY can't be read ({error.strerror})") from None


def _verify_against_ca(certificate: Path, key: Path, ca: bytes) -> Mapping[str, Any]:
    """Return the certificate as a peer sees it, from a handshake with itself in memory.

    Raises StartError for whatever a peer would refuse. The certificate is presented as a client's first, then as a
    server's, because it may be for one purpose only.
    """
    for presented_by_client in (True, False):
        client, server = _context(ssl.PROTOCOL_TLS_CLIENT, ca), _context(ssl.PROTOCOL_TLS_SERVER, ca)
        client.check_hostname = False
        (client if presented_by_client else server).verify_mode = ssl.CERT_NONE
        for context in (client, server):
            _load_chain(context, certificate, key)
        try:
            return _handshake(client, server, seen_by_server=presented_by_client)
        except ssl.SSLCertVerificationError as error:
            if presented_by_client and error.verify_code == WRONG_PURPOSE:
                continue  # for servers only
            raise StartError(f"TLS_CERT: {error.verify_message}, by TLS_CA") from None
        except ssl.SSLError as error:
            raise StartError(f"TLS_CERT or TLS_KEY can't be used ({error.reason or 'malformed'})") from None
    raise AssertionError


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, *, seen_by_server: bool) -> Mapping[str, Any]:
    """Complete a handshake in memory.

    Return the client's certificate as the server sees it, or the server's as the client does.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = client.wrap_bio(to_client, to_server)
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(MAX_FLIGHTS):
        for end in (client_end, server_end):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return (server_end if seen_by_server else client_end).getpeercert() or {}
