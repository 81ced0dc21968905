"""What is wrong with a database that can't be used, as one line for the operator: what, why, what to do; no secret."""

from __future__ import annotations

import re
import ssl
from socket import gaierror
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST_MAJOR: Final = 15
HIGHEST_PORT: Final = 65_535
ENCODING: Final = "UTF8"
MALFORMED: Final = (
    "the address is malformed: expected postgresql://user:password@host:port/name,"
    " with characters such as @ : / # ? % in the password as %40 %3A %2F %23 %3F %25"
)
CLOSED: Final = (
    "{place} closes the connection: is it PostgreSQL, are host and port right,"
    " and does it accept the client's certificate if there is one?"
)
OPENSSL_DETAIL: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
QUOTED: Final = re.compile(r'["«„“]([^"»“”]{1,63})["»“”]')
# SQLSTATE, or its class, to reason. {said} is the server's message, {name} the first quoted name in it: a user, a
# database or a parameter.
REASONS: Final[Mapping[str, str]] = {
    "28P01": "password refused for user {name}: correct user and password in the address",
    "3D000": "database {name} does not exist: create it, or correct the name in the address",
    "57P03": "{place} is starting up, stopping or recovering: try again in a moment",
    "53300": "{place} has no connection left: raise its max_connections, or end other clients",
    "42704": "{place} does not know the parameter {name} of the address: remove it",
    "22023": "{place} refuses the value of parameter {name} of the address: correct it",
    "25006": "{place} is a read-only standby: name the primary in the address",
    "55P03": "a table is locked by another client: end it, and try again",
    "57014": "a statement took longer than its time limit: try again when there is less load",
    "42501": "the user lacks a privilege ({said}): grant it, or use the owner of the tables",
    "28000": "{place} refuses the user ({said}): correct the user, or the server's pg_hba.conf",
    "42P01": "the database lacks tables ({said}): run autogrocery migrate",
    "42703": "the database lacks columns ({said}): run autogrocery migrate",
    "3F000": "the database lacks a schema ({said}): run autogrocery migrate",
    "08P01": "{place} refuses ({said}): if it is a pooler, give the server's own address as DATABASE_DIRECT_URL",
    "08": CLOSED,
    "53100": "the disk of {place} is full: make room",
}
# The first kind that fits, for errors that are no answer of a server.
FAILURES: Final = (
    (
        asyncpg.exceptions.TargetServerAttributeNotMatched,
        "{place} is not what target_session_attrs asks for: name the primary in the address",
    ),
    (
        ssl.SSLCertVerificationError,
        (
            "the certificate of {place} is refused ({reason}):"
            " name its CA with sslrootcert and the host as it does, or renew it"
        ),
    ),
    (ssl.SSLError, "TLS with {place} fails ({reason}): correct the ssl… parameters of the address, or its certificate"),
    ((ValueError, KeyError, asyncpg.exceptions.ClientConfigurationError), MALFORMED),
    (asyncpg.InterfaceError, "{place} and this client don't agree on the login ({reason}): give user and password"),
    (gaierror, "{place} is unknown: correct the host in the address, or this machine's resolver"),
    (TimeoutError, "{place} does not answer in time: can it be reached from here, and is the port right?"),
    (
        ConnectionRefusedError,
        "{place} refuses the connection: start the server, or correct host and port in the address",
    ),
    (
        FileNotFoundError,
        "{place}, or a file that the address names, does not exist: start the server, or correct the address",
    ),
    (
        (IsADirectoryError, NotADirectoryError),
        "a file that the address names is a directory, or is in none: correct the ssl… parameters of the address",
    ),
    (
        PermissionError,
        "{place}, or a file that the address names, is closed to this account: run as one that may use it",
    ),
    (ConnectionError, CLOSED),
    (OSError, "{place} can't be reached ({reason}): correct host and port in the address"),
)


# What a session behind a pooler must have from its role; the values that a direct session sets for itself.
LIMITS: Final = {"statement_timeout": "1s", "lock_timeout": "500ms", "idle_in_transaction_session_timeout": "5s"}
TIME_LIMITS: Final = "SELECT quote_ident(current_user) AS role, " + ", ".join(
    f"current_setting('{name}') AS {name}" for name in LIMITS
)


class UnsuitableServerError(ConnectionError):
    """The server answers and can't be used; the message tells the operator why."""


def require_suitable(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Raise UnsuitableServerError if a server is too old or a database is not in UTF-8; it costs no round trip."""
    major = connection.get_server_version().major
    if 0 < major < OLDEST_MAJOR:
        raise UnsuitableServerError(
            f"the server is PostgreSQL {major}, and {OLDEST_MAJOR} or later is needed: upgrade it"
        )
    encoding = getattr(connection.get_settings(), "server_encoding", ENCODING)  # a pooler may not tell
    if encoding != ENCODING:
        raise UnsuitableServerError(
            f"the database is in encoding {encoding}, and UTF8 is needed:"
            " create one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


def require_time_limits(row: asyncpg.Record | None) -> None:
    """Raise UnsuitableServerError unless the sessions behind a pooler, as TIME_LIMITS reads them, have time limits."""
    missing = [] if row is None else [name for name in LIMITS if row[name] == "0"]
    if row is not None and missing:
        wanted = "; ".join(f"ALTER ROLE {row['role']} SET {name} = '{LIMITS[name]}'" for name in missing)
        raise UnsuitableServerError(
            f"the pooler's sessions have no {' and no '.join(missing)}, which a client can't set through it: {wanted}"
        )


def require_well_formed(dsn: str) -> None:
    """Raise ValueError for an address that would be read otherwise than it is meant, without quoting any of it.

    A password with a bare `@`, `/`, `#` or `?` moves the borders between password, host and name; the rest of the
    password would then be looked up as a host and printed.
    """
    parts = urlsplit(dsn)
    login, _, hosts = parts.netloc.rpartition("@")
    if parts.scheme not in {"postgresql", "postgres"} or "#" in dsn or "@" in f"{login}{parts.path}{parts.query}":
        raise ValueError(MALFORMED)
    query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    ports = [urlsplit(f"//{host}").port for host in hosts.split(",")]  # raises ValueError above 65535
    ports += [int(port) for part in query.get("port", ()) for port in part.split(",")]
    if not all(port is None or 0 < port <= HIGHEST_PORT for port in ports):
        raise ValueError(MALFORMED)


def explain(error: BaseException, dsn: str = "") -> str:
    """Return why the database of `dsn` can't be used, and what to do, in one line without a secret."""
    place = _place_of(dsn)
    if isinstance(error, UnsuitableServerError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        tried_with_tls = error.__cause__ if _wants_tls(error) else None  # by sslmode=prefer, asyncpg's default
        return explain(tried_with_tls, dsn) if tried_with_tls else _explain_answer(error, place)
    if isinstance(error, ConnectionError) and "SSL upgrade" in str(error):
        return f"{place} offers no TLS, or is no PostgreSQL: turn TLS on there, or correct sslmode, host and port"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError) and "root certificate" in str(error):
        return "sslrootcert can't be read: correct it, or put the CA's certificate into ~/.postgresql/root.crt"
    sentence = next((text for kind, text in FAILURES if isinstance(error, kind)), "{place} can't be used ({reason})")
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
    return sentence.format(place=place, reason=OPENSSL_DETAIL.sub("", reason).rstrip("."))


def _explain_answer(error: asyncpg.PostgresError, place: str) -> str:
    """Explain an error that the server sent: by its code, because the text may be in any language."""
    code, said = error.sqlstate or "", (error.args[0] if error.args else "").partition("\n")[0]
    quoted = QUOTED.search(said)
    if _wants_tls(error):
        return f"{place} wants TLS ({said}): set sslmode=require, or verify-full with sslrootcert, in the address"
    if code == "28000" and "client certificate" in said:
        return f"{place} asks for the client's certificate ({said}): name it with sslcert and sslkey in the address"
    sentence = REASONS.get(code) or REASONS.get(code[:2]) or "{place} answers with an error ({said}): see its log"
    return sentence.format(name=quoted[1] if quoted else "(unnamed)", place=place, said=said)


def _wants_tls(error: asyncpg.PostgresError) -> bool:
    """Return whether the server has refused a connection for being without TLS."""
    return error.sqlstate == "28000" and any(words in str(error) for words in ("no encryption", "SSL off"))


def _place_of(dsn: str) -> str:
    """Return the servers of a well-formed address, as an operator calls them."""
    try:
        require_well_formed(dsn)
        parts = urlsplit(dsn)
    except ValueError:
        return "the database server"
    named = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", ()))
    if named.startswith("/"):
        return f"the database socket in {named}"
    return f"the database server {named}" if named else "the database server"
