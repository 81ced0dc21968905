"""One kind of call that goes by stream where the peer knows that form, and alone where it does not."""

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
    """Return a unary method as one kind of a stream's calls, or as it is if there is no stream."""
    return unary if stream is None else StreamMethod(stream, kind, unary)


class StreamMethod(Generic[Reply]):
    """One kind of call in the form of a unary method, with the unary method behind it for a peer that knows no stream.

    It keeps its own deadline and its own bound on calls at once.
    """

    def __init__(self, stream: Stream, kind: str, unary: Callable[..., Awaitable[Reply]]) -> None:
        self._stream = stream
        self._kind = kind
        self._unary = unary

    async def __call__(self, request: Any, *, timeout: float, metadata: Any = None) -> Reply:  # noqa: ASYNC109 - grpc's form
        """Make one call; raises AioRpcError or TimeoutError. Of the metadata a stream's call takes the authorization along."""
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
