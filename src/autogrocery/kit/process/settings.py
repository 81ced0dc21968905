"""Settings: a frozen Struct whose fields are read from environment variables of the same name in capitals.

A malformed or missing value, or an unknown variable with the role's prefix, stops the start with one line that names
the variable, never its value.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

import msgspec

from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=msgspec.Struct)
MIN_SECRET_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as the hash
FILE_SETTINGS = ("_FILE", "_HOME", "TLS_CA", "TLS_CERT", "TLS_KEY")  # the names of files may be any bytes
NO_HOST = frozenset("[]/@ \t\n")
GRPC_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")
NOT_AMONG = "Invalid enum value"
LONGEST_WORD = 8  # "changeme", repeated until it is long enough
KNOWN_SECRETS = frozenset(
    {
        b"a-string-secret-at-least-256-bits-long",  # jwt.io
        b"your-256-bit-secret-your-256-bit-secret",
        b"your-super-secret-jwt-token-with-at-least-32-characters-long",
        b"your_jwt_secret_key_at_least_32_characters",
        b"0123456789abcdef0123456789abcdef",
        b"abcdefghijklmnopqrstuvwxyz012345",
        bytes(range(32)),
        bytes(range(1, 33)),
    }
)


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one line for the operator."""


def load(shape: type[S], environ: Mapping[str, str], *, prefix: str = "") -> S:
    """Read `shape` from `environ`; a variable with `prefix` that is no field of `shape` is refused as a misspelling.

    An empty value counts as unset. Bounds are msgspec.Meta annotations. Raises SettingsError.
    """
    fields = {field.name.upper(): field for field in msgspec.structs.fields(shape)}
    for name in environ:
        if prefix and name.startswith(prefix) and name not in fields:
            raise SettingsError(f"{name} is not a setting: see docs/SETTINGS.md for those there are")
    hints = get_type_hints(shape, include_extras=True)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        raw = environ.get(name, "")
        if not raw:
            if field.required:
                raise SettingsError(f"{name} is not set")
            continue
        try:
            if not name.endswith(FILE_SETTINGS):
                raw.encode()
            values[field.name] = msgspec.convert(raw, hints[field.name], strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).split(" - ")[0]
            if reason.startswith(NOT_AMONG):
                reason = NOT_AMONG  # what follows is the value
            raise SettingsError(f"{name} is malformed: {reason}") from None
        except UnicodeEncodeError:
            raise SettingsError(f"{name} is malformed: it is not UTF-8") from None
    return shape(**values)


def address(name: str, value: str) -> tuple[str, int]:
    """Split `host:port` (IPv6 hosts in brackets); raises SettingsError naming the variable."""
    host, colon, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    well_formed = bare and not NO_HOST.intersection(bare)
    if not (colon and well_formed and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise SettingsError(f"{name} is malformed: expected host:port, and an IPv6 address as [::1]:port")
    return bare, int(port)


def web_url(name: str, value: str) -> str:
    """Return `value` if it is a URL with a host, and with a port that there can be; raises SettingsError."""
    try:
        parts = urlsplit(value)
        well_formed = (
            parts.scheme in {"http", "https"}
            and parts.hostname
            and parts.port != 0
            and not any(map(str.isspace, value))
        )
    except ValueError:
        well_formed = False
    if not well_formed:
        raise SettingsError(f"{name} is malformed: expected http://host:port or https://host:port")
    return value


def grpc_target(name: str, value: str) -> str:
    """Return `value` if it is `host:port` or one of gRPC's own names (`unix:`, `dns:` …); raises SettingsError."""
    if not value.startswith(GRPC_SCHEMES):
        address(name, value)
    return value


def networks(name: str, value: str) -> str:
    """Return `value` if it is a comma list of IP addresses and networks; raises SettingsError naming the variable."""
    for part in filter(None, value.split(",")):
        try:
            ipaddress.ip_network(part.strip())
        except ValueError:
            raise SettingsError(f"{name} is malformed: expected addresses and networks such as 10.0.0.0/8") from None
    return value


def secrets(name: str, value: str) -> tuple[bytes, ...]:
    """Decode a comma list of secrets, each of at least 32 bytes: `whsec_` + strict base64, anything else as UTF-8.

    The first one signs, all verify. A guessable secret is accepted (docs/CONTRACT.md#processes-ports-environment) and
    logged as a warning. Raises SettingsError naming the variable.
    """
    keys = []
    for part in value.split(","):
        text = part.strip()
        try:
            key = base64.b64decode(text[6:], validate=True) if text.startswith("whsec_") else text.encode()
        except binascii.Error:
            raise SettingsError(f"{name} is malformed: what follows whsec_ is not base64") from None
        if len(key) < MIN_SECRET_BYTES:
            raise SettingsError(f"{name} is too short: each secret has at least {MIN_SECRET_BYTES} bytes")
        if key.startswith((b"-----BEGIN ", b"ssh-")):  # it may be a public key; PyJWT refuses both
            raise SettingsError(f"{name} is a certificate or one of a pair of keys: a secret is random bytes")
        if _is_guessable(key):
            log.warning(
                "secret_is_guessable", setting=name, advice="make each at random, say with openssl rand -hex 32"
            )
        keys.append(key)
    return tuple(keys)


def _is_guessable(key: bytes) -> bool:
    """Return whether a secret repeats one word of up to 8 letters, or is an example from well-known documentation."""
    repeats = any(key[period:] == key[:-period] for period in range(1, LONGEST_WORD + 1))
    return repeats or key in KNOWN_SECRETS


def all_different(**named: tuple[bytes, ...]) -> None:
    """Raise SettingsError if two secrets are equal, within one variable or in two; it names the variables."""
    seen: dict[bytes, str] = {}
    for name, keys in named.items():
        for key in keys:
            same = key.rstrip(b"\0")  # HMAC pads a key with zeros (RFC 2104): these sign alike
            if same in seen:
                raise SettingsError(f"{name} repeats a secret of {seen[same]}: all must be different")
            seen[same] = name
