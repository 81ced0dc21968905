"""Reading requests: the request line and header fields, body and query within their limits, and unambiguous JSON.

Sources: RFC 9110, RFC 9112, RFC 8259, RFC 6750 §2.1, and the Idempotency-Key draft of the IETF httpapi group.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import httptools
import msgspec

from autogrocery.kit.errors import FieldError, Invalid, Malformed
from autogrocery.kit.http.media import parse_media_type
from autogrocery.kit.http.numbers import convert_texts, decode_with_integers

MAX_BODY_BYTES = 64 << 10
MAX_URI_BYTES = 2 << 10
MAX_HEADERS = 64
MAX_HEAD_BYTES = 16 << 10
MAX_QUERY_FIELDS = 32
MAX_DETAIL = 200
REQUEST_ID_BYTES = 12
RANDOM_BYTES = 256 * REQUEST_ID_BYTES  # read at once, because a system call costs more than the rest of an id

VERSIONS = frozenset({"1.1", "1.0"})
HOST = re.compile(rb"[A-Za-z0-9\[\]:._~%!$&'()*+,;=-]*")  # RFC 3986 §3.2.2, with a port
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
PLAIN_TARGET = re.compile(rb"/[A-Za-z0-9/._~-]*")  # a path that needs no decoding
AT = re.compile(r"(.*?) - at `(\$.*)`$", re.DOTALL)
FIELD = re.compile(r"(?:required|unknown) field `([^`]*)`")
STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
FLOAT = "got `float`"  # in msgspec's message, where an integer is wanted
ONCE = frozenset(
    b"authorization content-type content-length content-encoding transfer-encoding expect host idempotency-key"
    b" x-request-id".split()
)


class RequestHead:
    """A request line and its header fields, names in lower case.

    The values of a field that is `repeated` are joined to one list (RFC 9110 §5.3).
    """

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = ""
        self.fields: dict[bytes, bytes] = {}
        self.repeated: tuple[bytes, ...] = ()
        self.size_bytes = 0
        self.request_id = ""

    def add(self, name: bytes, value: bytes) -> None:
        """Add a header field; raises Malformed beyond MAX_HEADERS."""
        if len(self.fields) + len(self.repeated) >= MAX_HEADERS:
            raise self.too_large()
        self.size_bytes += len(name) + len(value)
        name = name.lower()
        if name in self.fields:
            self.repeated += (name,)
            value = self.fields[name] + b"," + value
        self.fields[name] = value

    def complete(self, method: bytes, version: str) -> None:
        """Set what the parser tells at the end, and the request id: the client's if well-formed, or a random one."""
        self.method, self.version = method, version
        given = self.fields.get(b"x-request-id")
        self.request_id = given.decode("ascii") if given and REQUEST_ID.fullmatch(given) else _random_id()

    def too_large(self) -> Malformed:
        """Return the refusal of a head beyond its limits: 414 if it is the target that is too long, otherwise 431."""
        if len(self.target) > MAX_URI_BYTES:
            return Malformed("uri_too_long", f"The path and query have at most {MAX_URI_BYTES} bytes.", status=414)
        return Malformed("headers_too_large", f"At most {MAX_HEADERS} headers, {MAX_HEAD_BYTES} bytes.", status=431)


_random = bytearray()


def _random_id() -> str:
    if not _random:
        _random.extend(os.urandom(RANDOM_BYTES))
    taken = _random[-REQUEST_ID_BYTES:].hex()
    del _random[-REQUEST_ID_BYTES:]
    return taken


def check_head(head: RequestHead) -> None:
    """Raise Malformed for a head that is too large or ambiguous."""
    if len(head.target) > MAX_URI_BYTES or head.size_bytes > MAX_HEAD_BYTES:
        raise head.too_large()
    fields, version = head.fields, head.version
    if head.repeated and (repeated := ONCE.intersection(head.repeated)):
        raise Malformed("bad_request", f"The header {min(repeated).decode('ascii')} is repeated.")
    if version not in VERSIONS:
        raise Malformed("bad_request", "This listener speaks HTTP/1.1.")
    if not HOST.fullmatch(fields.get(b"host", b"" if version == "1.0" else b" ")):
        raise Malformed("bad_request", "The header host is missing or malformed.")
    if b"transfer-encoding" in fields:
        if b"content-length" in fields:
            raise Malformed("bad_request", "Content-Length and Transfer-Encoding exclude each other.")
        if fields[b"transfer-encoding"].lower() != b"chunked" or version != "1.1":
            raise Malformed("bad_request", "The only transfer coding here is chunked, in HTTP/1.1.")


def split_target(target: bytes) -> tuple[str, bytes]:
    """Return the decoded path of a request target and its query as sent; raises Malformed."""
    if PLAIN_TARGET.fullmatch(target):
        return target.decode("ascii"), b""
    try:
        url = httptools.parse_url(target)
        path = url.path.decode("ascii")
    except (httptools.HttpParserInvalidURLError, AttributeError, UnicodeDecodeError):  # no path: None
        raise Malformed("bad_request", "The request target is no path of this server.") from None
    return unquote(path), url.query or b""


def bearer(head: RequestHead) -> str | None:
    """Return the bearer token of the Authorization header, unverified; None if there is none."""
    value = head.fields.get(b"authorization", b"")
    return value[7:].decode("latin-1") if value[:7].lower() == b"bearer " else None


def idempotency_key(head: RequestHead) -> str | None:
    """Return the Idempotency-Key; raises Invalid unless it is 1..255 visible ASCII characters."""
    value = head.fields.get(b"idempotency-key")
    if value is None:
        return None
    if not IDEMPOTENCY_KEY.fullmatch(value):
        raise Invalid("invalid_request", "Idempotency-Key is 1..255 visible ASCII characters.")
    return value.decode("ascii")


def check_media(head: RequestHead) -> None:
    """Raise Malformed unless the body is declared as plain JSON in UTF-8."""
    media = head.fields.get(b"content-type", b"")
    if media != b"application/json":
        kind, parameters = parse_media_type(media.decode("latin-1"))
        charsets = {value.lower() for name, value in parameters if name == "charset"}
        if kind != "application/json" or charsets - {"utf-8", "utf8"}:
            raise Malformed("unsupported_media_type", "The body is application/json in UTF-8.", status=415)
    if head.fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Malformed("unsupported_media_type", "The body is sent without a content coding.", status=415)


def check_length(head: RequestHead) -> None:
    """Raise Malformed if the body is declared to be larger than MAX_BODY_BYTES."""
    length = head.fields.get(b"content-length", b"0")
    if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
        raise body_too_large()


def body_too_large() -> Malformed:
    """Return the refusal of a body beyond MAX_BODY_BYTES."""
    return Malformed("payload_too_large", f"A body has at most {MAX_BODY_BYTES} bytes.", status=413)


def decode_body(decoder: msgspec.json.Decoder[Any], raw: bytes, *, takes_nul: bool) -> Any:
    """Decode JSON; raises Malformed `invalid_json` if it is not JSON, Invalid `invalid_request` if its shape is wrong.

    A repeated member counts as invalid JSON, because by RFC 8259 §4 readers differ in which one they take. U+0000 is
    refused unless `takes_nul`, because PostgreSQL can't store it.
    """
    try:
        value = decoder.decode(raw)
        _once.decode(raw.decode("utf-8"))
    except msgspec.ValidationError as error:
        _check_json(raw)
        value = _decode_again(decoder, raw, error)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _no_json(error) from None
    if not takes_nul and b"\\u0000" in raw and _has_nul(json.loads(raw)):
        raise Invalid("invalid_request", "A text can't contain U+0000.")
    return value


def _decode_again(decoder: msgspec.json.Decoder[Any], raw: bytes, error: msgspec.ValidationError) -> Any:
    """Return the body if only integers such as 2.0 were wrong with it; raises Invalid."""
    try:
        if FLOAT not in str(error):
            raise error
        return decode_with_integers(raw, decoder.type)
    except msgspec.ValidationError as flaw:
        raise _misshapen(flaw, "body") from None


def decode_query(shape: Any, query: bytes) -> Any:
    """Decode a query string into `shape` (None: a dict of texts); raises Invalid `invalid_request`."""
    if BAD_ESCAPE.search(query):  # parse_qsl would leave it as it is
        raise _not_a_query()
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError:
        raise _not_a_query() from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("invalid_request", "A query field is repeated.")
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise Invalid("invalid_request", "A text can't contain U+0000.")
    if shape is None:
        return fields
    try:
        return convert_texts(fields, shape)
    except msgspec.ValidationError as error:
        raise _misshapen(error, "query") from None


def _not_a_query() -> Invalid:
    return Invalid("invalid_request", "The query is not name=value&… in percent-encoded UTF-8.")


def _pairs(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len(dict(pairs)):
        raise ValueError("a member is repeated")


_once = json.JSONDecoder(object_pairs_hook=_pairs)


def _check_json(raw: bytes) -> None:
    """Raise Malformed if the text is not valid JSON: that is reported before a wrong shape, wherever the two are."""
    try:
        msgspec.json.decode(raw)
        _once.decode(raw.decode("utf-8"))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _no_json(error) from None


def _no_json(error: Exception) -> Malformed:
    reason = str(error) if isinstance(error, msgspec.DecodeError) else "text that is not UTF-8, too deep, or ambiguous"
    return Malformed("invalid_json", f"The body is not JSON: {reason}"[:MAX_DETAIL])


def _misshapen(error: msgspec.ValidationError, where: str) -> Invalid:
    text = str(error)
    at = AT.match(text)
    detail, path = (at[1], at[2]) if at else (text, "$")
    steps = [step[1] or step[2] for step in STEP.finditer(path)]
    if field := FIELD.search(detail):
        steps.append(field[1])
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    field_error = FieldError(pointer=pointer[:MAX_DETAIL], detail=detail[:MAX_DETAIL])
    return Invalid("invalid_request", f"The {where} does not have the required shape.", errors=(field_error,))


def _has_nul(value: Any) -> bool:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str) and "\0" in item:
            return True
        if isinstance(item, dict):
            left += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            left += item
    return False
