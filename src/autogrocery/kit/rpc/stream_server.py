"""The server's end of streams that carry many calls: calls run independently, finished answers share a message."""

from __future__ import annotations

import asyncio
from collections import deque
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import grpc
from msgspec import Struct

from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.status import (
    BATCH_BYTES,
    BATCH_CALLS,
    CODES,
    DRAIN_S,
    MAPPED_ERRORS,
    MAX_MESSAGE_BYTES,
    STREAM_BULKHEAD,
    status_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


Table: TypeAlias = "Mapping[str, Callable[..., Awaitable[Any]]]"  # by the names of the oneof
LAST_S = 1.0  # for cancelled calls to end
ABANDON_S = 30.0  # after a call's deadline; every step of a call has a shorter deadline of its own


class _AbortedError(Exception):
    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(code.name)
        self.code = code
        self.detail = detail


class _Asked(Struct, frozen=True):
    """The context of one call on a stream: the part of gRPC's context that applies to a single call."""

    stream: Any
    authorization: str = ""

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        """End this call, and no other, with a status."""
        raise _AbortedError(code, details)

    def invocation_metadata(self) -> Any:
        """Return the call's own authorization if it has one, else the stream's metadata."""
        if self.authorization:
            return (("authorization", self.authorization),)
        return self.stream.invocation_metadata()


class Conversations(grpc.aio.ServerInterceptor):
    """The streams of one server. A servicer's `Converse` gets this object in place of the messages and calls `hold`.

    A call in flight outlives its deadline and its stream, because it may be inside a commit; `leave` waits for it. Only
    a call that still runs `abandon_s` seconds after its deadline is cancelled.
    """

    def __init__(self, *, abandon_s: float = ABANDON_S) -> None:
        self._abandon_s = abandon_s
        self._held: set[_Conversation] = set()
        self._leaving = False

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Take over methods that stream both ways; they write bytes."""
        method = await continuation(details)
        if method is None or method.stream_stream is None or not iscoroutinefunction(method.stream_stream):
            return method
        inner = method.stream_stream

        async def conversed(_messages: Any, context: Any) -> None:
            await inner(self, context)

        return grpc.stream_stream_rpc_method_handler(conversed, method.request_deserializer, None)

    async def hold(self, context: Any, table: Table, answers: Callable[[], Any]) -> None:
        """Serve one stream with the calls of `table` until its client ends it or the server stops."""
        if self._leaving:
            return
        conversation = _Conversation(context, table, answers, self._abandon_s)
        self._held.add(conversation)
        conversation.on_idle = lambda: self._held.discard(conversation)
        await conversation.run()

    async def leave(self, within_s: float) -> None:
        """Stop reading, wait `within_s` seconds for the calls in flight, and cancel the others."""
        self._leaving = True
        held = list(self._held)
        for conversation in held:
            conversation.stop_reading()
        working = [task for conversation in held for task in conversation.in_work]
        if working:
            _, stuck = await asyncio.wait(working, timeout=within_s)
            for task in stuck:
                task.cancel()
            if stuck:
                await asyncio.wait(stuck, timeout=LAST_S)


class _Conversation:
    """One stream. At most STREAM_BULKHEAD calls are in work; beyond that it is not read."""

    def __init__(self, context: Any, table: Table, answers: Callable[[], Any], abandon_s: float) -> None:
        self.in_work: dict[asyncio.Task[None], float] = {}  # and the time of each one's deadline
        self.on_idle: Callable[[], object] = lambda: None
        self._context = context
        self._table = table
        self._answers = answers
        self._abandon_s = abandon_s
        self._loop = asyncio.get_running_loop()
        self._ready: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._last = False  # no answer comes after those that are ready
        self._over = False
        self._freed: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._reading = self._loop.create_task(self._read(), name="converse read")

    def stop_reading(self) -> None:
        """Behave as if the client had ended its side."""
        self._reading.cancel()

    async def run(self) -> None:
        """Answer calls until the client ends its side, then up to DRAIN_S seconds until all in flight are answered."""
        writing = self._loop.create_task(self._write(), name="converse write")
        try:
            await asyncio.wait((self._reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if self.in_work and not writing.done():
                await asyncio.wait(self.in_work, timeout=DRAIN_S)
            self._last = True
            self._wake.set()
            await asyncio.wait((writing,), timeout=DRAIN_S)
        finally:
            self._over = True
            self._reading.cancel()
            writing.cancel()
            await asyncio.wait((self._reading, writing))  # gRPC forgets the call as soon as we return
            if not self.in_work:
                self.on_idle()
        if not self._reading.cancelled():
            self._reading.result()

    async def _read(self) -> None:
        while (message := await self._context.read()) is not grpc.aio.EOF:
            now = self._loop.time()
            for call in message.calls:
                until = now + call.timeout_ms / 1_000
                while len(self.in_work) >= STREAM_BULKHEAD:
                    self._freed = self._loop.create_future()
                    await self._freed
                if self._loop.time() < until:
                    self._begin(call, until)

    def _begin(self, call: Any, until: float) -> None:
        task = self._loop.create_task(self._work(call, until))
        self.in_work[task] = until
        task.add_done_callback(self._end)
        if self._watch is None:
            self._watch = self._loop.call_later(self._abandon_s, self._abandon)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self.in_work[task]
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)
        if self._over and not self.in_work:
            self.on_idle()

    def _abandon(self) -> None:
        """Cancel calls that run `abandon_s` seconds beyond their deadline; check again while calls are in flight."""
        for task, until in self.in_work.items():
            if until + self._abandon_s < self._loop.time():
                log.error("call_abandoned", after_s=self._abandon_s)
                task.cancel()
        self._watch = self._loop.call_later(self._abandon_s, self._abandon) if self.in_work else None

    async def _work(self, call: Any, until: float) -> None:
        """Run one call and queue its answer, unless its deadline has passed: then the caller has given up."""
        kind = call.WhichOneof("request")
        message = self._answers()
        answer = message.answers.add(id=call.id)
        try:
            if kind not in self._table:
                raise _AbortedError(grpc.StatusCode.UNIMPLEMENTED, "no such call")  # noqa: TRY301
            asked = _Asked(self._context, getattr(call, "authorization", ""))  # most contracts' calls have none
            reply = await self._table[kind](getattr(call, kind), asked)
            getattr(answer, kind).CopyFrom(reply)
        except _AbortedError as aborted:
            _set_failure(answer, aborted.code, aborted.detail)
        except MAPPED_ERRORS as error:
            code, detail = status_of(error)
            _set_failure(answer, CODES[code], detail)
        except Exception as error:  # noqa: BLE001 - it ends one call, as in gRPC, not the stream
            log.exception("call_failed", kind=kind)
            _set_failure(answer, grpc.StatusCode.UNKNOWN, type(error).__name__)
        if self._over or self._loop.time() >= until:
            return
        body = message.SerializeToString()
        if len(body) > MAX_MESSAGE_BYTES:
            _set_failure(answer, grpc.StatusCode.RESOURCE_EXHAUSTED, "the reply is too large")
            body = message.SerializeToString()
        self._ready.append(body)
        self._wake.set()

    async def _write(self) -> None:
        """Write what is ready, one message at a time, until the last answer is written or the stream is broken."""
        while self._ready or not self._last:
            if not self._ready:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._context.write(self._take())
            except grpc.aio.BaseError:  # the client is gone, which the reader is notified of
                return

    def _take(self) -> bytes:
        parts = [self._ready.popleft()]
        size = len(parts[0])
        while self._ready and len(parts) < BATCH_CALLS and size + len(self._ready[0]) <= BATCH_BYTES:
            parts.append(self._ready.popleft())
            size += len(parts[-1])
        return b"".join(parts)


def _set_failure(answer: Any, code: grpc.StatusCode, detail: str) -> None:
    answer.failure.code = code.value[0]
    answer.failure.detail = detail
