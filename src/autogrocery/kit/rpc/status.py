"""What both ends of every call keep to, unary or streamed: bounds, and what an exception of ours is on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from autogrocery.kit.errors import Denied, InDoubt, Refused, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MESSAGE_BYTES: Final = 1 << 20
DRAIN_S: Final = 3.0
BULKHEAD: Final = 64  # unary calls to one peer at once
STREAM_BULKHEAD: Final = 1_024  # calls on one stream at once, at either end
BATCH_CALLS: Final = 256  # in one message of a stream
BATCH_BYTES: Final = 1 << 18  # likewise, unless it carries one

# To a gateway every one of these means "in doubt".
STATUS_OF: Final[Mapping[type[Exception], grpc.StatusCode]] = {
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Refused: grpc.StatusCode.INVALID_ARGUMENT,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    InDoubt: grpc.StatusCode.UNAVAILABLE,
}
TOLD: Final = tuple(STATUS_OF)
CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return status and detail of one of `TOLD`."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return status, getattr(error, "detail", "")


def failure(code: grpc.StatusCode, detail: str) -> grpc.aio.AioRpcError:
    """Return what a call raises that ends with this status."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=detail)
