"""One kind of call, made on a stream if the peer supports streams, else as a unary call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.kit.rpc.stream_client import Stream

Reply = TypeVar("Reply")


def method_of(
    stream: Stream | None, kind: str, unary: Callable[..., Awaitable[Reply]]
) -> Callable[..., Awaitable[Reply]]:
    """Return a method that makes its calls on a stream; without a stream, the unary method itself."""
    return unary if stream is None else StreamMethod(stream, kind, unary)


class StreamMethod(Generic[Reply]):
    """One kind of call in the form of a unary method, which is also the fallback for a peer without streams.

    It keeps its own deadline and its own limit of calls at once.
    """

    def __init__(self, stream: Stream, kind: str, unary: Callable[..., Awaitable[Reply]]) -> None:
        self._stream = stream
        self._kind = kind
        self._unary = unary

    async def __call__(self, request: Any, *, timeout: float, metadata: Any = None) -> Reply:  # noqa: ASYNC109
        """Make one call; raises AioRpcError or TimeoutError. A stream sends only `authorization` of the metadata."""
        until = asyncio.get_running_loop().time() + timeout
        if self._stream.spoken:
            authorization = dict(metadata or ()).get("authorization", "")
            try:
                reply: Reply = await self._stream.ask(self._kind, request, until, authorization)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
            else:
                return reply
        return await self._alone(request, until, metadata)

    async def _alone(self, request: Any, until: float, metadata: Any) -> Reply:
        async with asyncio.timeout_at(until), self._stream.unary_room:
            left_s = max(until - asyncio.get_running_loop().time(), 0.0)
            try:
                return await self._unary(request, timeout=left_s, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    self._stream.try_again()
                raise
