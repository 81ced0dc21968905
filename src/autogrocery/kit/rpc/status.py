"""gRPC statuses, the limits that both ends of every call keep, and the status of each of our errors."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from autogrocery.kit.errors import Denied, InDoubt, Refused, Unauthenticated, Unavailable
from autogrocery.kit.rpc.frames import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MESSAGE_BYTES: Final = 1 << 20
DRAIN_S: Final = 3.0
MESSAGE_HEAD_BYTES: Final = 5  # before each message: not compressed, and its length
MAX_DETAIL_CHARS: Final = 1_024  # of a status's detail, as it is sent


class Code(IntEnum):
    """How a call ends, by the numbers of `grpc-status` (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call ended with this `code`, which is never OK; `detail` is the peer's text, or ours if there was none."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail


class UndecodableError(RpcError):
    """The reply of an OK is no message of its type."""

    def __init__(self) -> None:
        super().__init__(Code.INTERNAL, "the reply can't be decoded")


# The gateway treats each of these as "in doubt"; a robot logs in again on UNAUTHENTICATED, which is about its token.
STATUS_OF: Final[Mapping[type[Exception], Code]] = {
    Unauthenticated: Code.UNAUTHENTICATED,
    Denied: Code.PERMISSION_DENIED,
    Refused: Code.INVALID_ARGUMENT,
    Unavailable: Code.UNAVAILABLE,
    InDoubt: Code.UNAVAILABLE,
}
MAPPED_ERRORS: Final = tuple(STATUS_OF)
# Of an answer without grpc-status (grpc/doc/http-grpc-status-mapping.md); any other HTTP status is UNKNOWN.
HTTP_CODES: Final[Mapping[bytes, Code]] = {
    b"400": Code.INTERNAL,
    b"401": Code.UNAUTHENTICATED,
    b"403": Code.PERMISSION_DENIED,
    b"404": Code.UNIMPLEMENTED,
    b"429": Code.UNAVAILABLE,
    b"502": Code.UNAVAILABLE,
    b"503": Code.UNAVAILABLE,
    b"504": Code.UNAVAILABLE,
}
# Of a stream that was reset (grpc/doc/PROTOCOL-HTTP2.md#errors); any other error is INTERNAL.
RESET_CODES: Final[Mapping[int, Code]] = {
    ErrorCode.STREAM_CLOSED: Code.UNKNOWN,
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}
_CODES: Final = {b"%d" % code: code for code in Code}
_AS_THEY_ARE: Final = "".join(chr(octet) for octet in range(0x20, 0x7F) if chr(octet) != "%")


def status_of(error: Exception) -> tuple[Code, str]:
    """Return the gRPC status and the detail of an error that is one of MAPPED_ERRORS."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return status, getattr(error, "detail", "")


def code_of(grpc_status: bytes) -> Code:
    """Return the code of a `grpc-status` field; UNKNOWN for anything that is none."""
    return _CODES.get(grpc_status, Code.UNKNOWN)


def encode_detail(detail: str) -> bytes:
    """Return a `grpc-message` field: UTF-8, percent-encoded (grpc/doc/PROTOCOL-HTTP2.md#responses)."""
    return quote_from_bytes(detail[:MAX_DETAIL_CHARS].encode("utf-8", "replace"), safe=_AS_THEY_ARE).encode("ascii")


def decode_detail(grpc_message: bytes) -> str:
    """Return the text of a `grpc-message` field; what is no valid encoding stays as it is, as gRPC demands."""
    return unquote_to_bytes(grpc_message).decode("utf-8", "replace")
