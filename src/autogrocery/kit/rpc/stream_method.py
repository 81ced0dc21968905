"""One kind of call, made on a stream that is known to work, else as a unary call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.kit.rpc.stream_client import Stream

Reply = TypeVar("Reply")
SILENCE_S = 0.05  # of a stream, after which a call that waits for it is made as a unary call too


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
        """Make one call; raises AioRpcError or TimeoutError. A stream sends only `authorization` of the metadata.

        Whatever goes wrong on the stream, the call is made again as a unary call, within the same deadline: every call
        of the contract may be repeated (K1). A stream that leaves a call waiting is raced by a unary call.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        stream = self._stream
        if not stream.ready():
            return await self._alone(request, until, metadata)
        heard = stream.heard
        authorization = dict(metadata or ()).get("authorization", "")
        asked = loop.create_task(stream.ask(self._kind, request, until, authorization))
        try:
            await asyncio.wait((asked,), timeout=min(SILENCE_S, timeout / 2))
            if not asked.done() and stream.heard > heard:  # it answers others
                await asyncio.wait((asked,), timeout=max(until - timeout / 2 - loop.time(), 0.0))
            if not asked.done() and stream.heard == heard:
                stream.distrust()
            if asked.done() and asked.exception() is None:
                reply: Reply = asked.result()
                return reply
            alone = loop.create_task(self._alone(request, until, metadata))
            try:
                return await _first_reply(asked, alone)
            finally:
                alone.cancel()
        finally:
            asked.cancel()

    async def _alone(self, request: Any, until: float, metadata: Any) -> Reply:
        async with asyncio.timeout_at(until), self._stream.unary_room:
            left_s = max(until - asyncio.get_running_loop().time(), 0.0)
            try:
                return await self._unary(request, timeout=left_s, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    self._stream.try_again()
                raise


async def _first_reply(asked: asyncio.Task[Reply], alone: asyncio.Task[Reply]) -> Reply:
    """Return the first reply of the two; raises the unary call's error if neither has one."""
    await asyncio.wait((asked, alone), return_when=asyncio.FIRST_COMPLETED)
    if asked.done() and asked.exception() is None:
        return asked.result()
    if alone.done() and alone.exception() is not None:
        await asyncio.wait((asked,))
        if asked.exception() is None:
            return asked.result()
    return await alone
