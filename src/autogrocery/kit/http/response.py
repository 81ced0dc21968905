"""Responses as bytes: all that does not depend on the request is prepared once."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
NO_CONTENT = 204
CHUNKED, CLOSE = b"transfer-encoding: chunked\r\n", b"connection: close\r\n"
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*")  # RFC 9110 §5.1 and §5.5

_encode = msgspec.json.Encoder().encode


def octets(body: Any) -> bytes:
    """Return a body as bytes: bytes as they are, nothing for None, anything else as JSON."""
    return body if isinstance(body, bytes) else b"" if body is None else _encode(body)


def field_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header fields as lines; raises ValueError if one would not be one field."""
    lines = [b"%b: %b" % field for field in fields]
    if not all(map(FIELD.fullmatch, lines)):
        raise ValueError("a header field is malformed")
    return b"".join(line + b"\r\n" for line in lines)


def head(status: int, media: str, lines: bytes, request_id: str) -> bytes:
    """Return the head of a response, up to the lines of its framing. Without `media` it has no Content-Type."""
    return b"%b%b%bx-request-id: %b\r\n" % (
        _start(status, media),
        _date(int(time.time())),
        lines,
        request_id.encode("ascii"),
    )


def chunk(part: bytes) -> bytes:
    """Return a part of a body in the chunked coding (RFC 9112 §7.1); no part may be empty."""
    return b"%x\r\n%b\r\n" % (len(part), part)


@cache
def _start(status: int, media: str) -> bytes:
    kind = f"content-type: {media}\r\n" if media else ""
    fixed = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncache-control: no-store\r\n{kind}"
    return fixed.encode("ascii") + b"x-content-type-options: nosniff\r\n"


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
