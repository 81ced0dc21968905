"""One unary call at the server's end: what its method gets, what of its request is read, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.status import MAPPED_ERRORS, MAX_MESSAGE_BYTES, MESSAGE_HEAD_BYTES, Code, RpcError, status_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

GRPC_TYPE: Final = b"application/grpc"
_TIME_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
MAX_TIMEOUT_CHARS: Final = 9
MAX_CALL_S: Final = 300.0  # and of a call without a deadline


class ServerCall(Struct, frozen=True):
    """What a method may know of its call: the metadata, and the caller's certificate in the form of `getpeercert`."""

    fields: Mapping[bytes, bytes]
    certificate: Mapping[str, Any]


class ServerMethod(Struct, frozen=True):
    """One method: `act` answers a request, `allowed` has the certificate names that may call it, None for any."""

    decode: Callable[[bytes], Any]
    act: Callable[[Any, ServerCall], Awaitable[Any]]
    allowed: Collection[str] | None = None


def is_grpc(content_type: bytes) -> bool:
    """Return whether a content type is one of gRPC (grpc/doc/PROTOCOL-HTTP2.md#requests)."""
    return content_type.startswith(GRPC_TYPE) and content_type[len(GRPC_TYPE) :][:1] in {b"", b"+", b";"}


async def outcome_of(method: ServerMethod, request: Any, call: ServerCall) -> tuple[bytes, Code, str]:
    """Run a call; return its reply, or why there is none."""
    try:
        reply: bytes = (await method.act(request, call)).SerializeToString()
    except RpcError as error:
        return b"", error.code, error.detail
    except MAPPED_ERRORS as error:
        return b"", *status_of(error)
    except Exception as error:  # noqa: BLE001 - it ends one call, not the connection
        log.exception("call_failed", method=method.act.__name__)
        return b"", Code.UNKNOWN, type(error).__name__
    if len(reply) > MAX_MESSAGE_BYTES:
        return b"", Code.RESOURCE_EXHAUSTED, "the reply is too large"
    return reply, Code.OK, ""


def read_message(body: bytes | bytearray, encoding: bytes) -> bytes:
    """Return the one message of a request; raises RpcError, for a compressed one as grpc/doc/compression.md says."""
    size = len(body) - MESSAGE_HEAD_BYTES
    if size < 0 or int.from_bytes(body[1:MESSAGE_HEAD_BYTES], "big") != size:
        raise RpcError(Code.INTERNAL, "the request is not one message")
    if body[0]:
        raise RpcError(Code.INTERNAL if encoding == b"identity" else Code.UNIMPLEMENTED, "the message is compressed")
    return bytes(body[MESSAGE_HEAD_BYTES:])


def timeout_s_of(grpc_timeout: bytes | None) -> float:
    """Return the seconds of a `grpc-timeout` field, at most MAX_CALL_S, which also stands for one that is none."""
    if grpc_timeout is None or not grpc_timeout[:-1].isdigit() or len(grpc_timeout) > MAX_TIMEOUT_CHARS:
        return MAX_CALL_S
    return min(int(grpc_timeout[:-1]) * _TIME_UNITS.get(grpc_timeout[-1:], MAX_CALL_S), MAX_CALL_S)
