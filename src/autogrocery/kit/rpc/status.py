"""Limits that both ends of every gRPC call keep, and the gRPC status of each of our errors."""

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
BATCH_BYTES: Final = 1 << 18  # in one message of a stream that carries more than one call

# The gateway treats each of these as "in doubt"; a robot logs in again on UNAUTHENTICATED, which is about its token.
STATUS_OF: Final[Mapping[type[Exception], grpc.StatusCode]] = {
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Refused: grpc.StatusCode.INVALID_ARGUMENT,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    InDoubt: grpc.StatusCode.UNAVAILABLE,
}
MAPPED_ERRORS: Final = tuple(STATUS_OF)
CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status and the detail of an error that is one of MAPPED_ERRORS."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return status, getattr(error, "detail", "")


def failure(code: grpc.StatusCode, detail: str) -> grpc.aio.AioRpcError:
    """Return the exception that a call raises when it ends with this status."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=detail)
