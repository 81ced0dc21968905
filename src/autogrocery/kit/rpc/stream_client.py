"""Many calls on one bidirectional stream: calls that arrive while a message is being written form the next message.

There is no timer: a lone call is written at once. In a batch a call costs a small part of a unary call, because the
cost is that of the message.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc

from autogrocery.kit.backoff import equal_jitter_s, spread_s
from autogrocery.kit.process.deadlines import Deadlines
from autogrocery.kit.rpc.status import (
    BATCH_BYTES,
    BATCH_CALLS,
    BULKHEAD,
    CODES,
    MAX_MESSAGE_BYTES,
    STREAM_BULKHEAD,
    failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UNARY_FOR_S = 60.0
PROBE_S = 2.0
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
SILENT_CALLS = 3
SILENT_S = 2.0
IDLE_S = 20.0
BROKEN = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError, asyncio.CancelledError)


class Stream:
    """All calls to one peer on one stream, opened by the first of them and again by the next one after it broke.

    `calls` makes a message of the contract and `answers` parses one; an entry has an `id` and a oneof with the same
    names on both sides. At most `in_flight` calls are made at once; others wait for a place or their deadline. When a
    stream breaks, every call that was written and not answered fails with UNAVAILABLE, which means in doubt. After a
    stream that never answered, the next attempt waits: with jitter, doubled each time up to MAX_PAUSE_S; calls made
    meanwhile fail at once.

    The stream is an option of the peer's, and no request may pay for finding out whether it works: `ready` is True only
    while the present stream has answered before. Until then calls go elsewhere, and one call that has no effect, of the
    kind `probe` and empty, is asked beside them.

    Answers that arrive after their caller gave up are dropped. A stream without any answer for SILENT_S seconds, while
    SILENT_CALLS calls timed out, is replaced; a dead connection below it is found by keepalive. A stream that is unused
    for `idle_s` seconds is closed: many servers treat keepalive pings on an idle stream as a flood.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        path: str,
        calls: Callable[[], Any],
        answers: Callable[[bytes], Any],
        *,
        probe: str,
        in_flight: int = STREAM_BULKHEAD,
        unary_for_s: float = UNARY_FOR_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.path = path
        self.heard = 0  # messages in, so far
        self._probe_kind = probe
        self._probing: asyncio.Task[None] | None = None
        self.opened = self.messages = self.carried = 0  # streams, messages out, and the calls in them, so far
        self.unary_room = asyncio.Semaphore(BULKHEAD)
        self._room = asyncio.Semaphore(in_flight)
        self._open: Any = channel.stream_stream(path, request_serializer=None, response_deserializer=answers)
        self._calls = calls
        self._ids = count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._queue: OrderedDict[int, bytes] = OrderedDict()  # those of _asked that are not written yet
        self._deadlines = Deadlines(self._asked, self._give_up)
        self._link: Any = None  # grpc's call, while there is one
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._heard = False  # anything, on this link
        self._silent_since: float | None = None
        self._unanswered = 0
        self._breaks = 0
        self._pause_until = 0.0
        self._idle_s = idle_s
        self._used_at = 0.0
        self._unary_for_s = unary_for_s
        self._unary_until = 0.0

    @property
    def spoken(self) -> bool:
        """Whether the peer may support streams; False for about `unary_for_s` seconds after it seemed not to."""
        return self._unary_until == 0.0 or asyncio.get_running_loop().time() >= self._unary_until

    def ready(self) -> bool:
        """Return whether the present stream has answered before; if not, see to it that it is found out."""
        if self._heard and self._link is not None:
            return True
        loop = asyncio.get_running_loop()
        if self._probing is None and self.spoken and loop.time() >= self._pause_until:
            self._probing = loop.create_task(self._probe(loop), name=f"probe {self.path}")
        return False

    def distrust(self) -> None:
        """Leave the stream out for about `unary_for_s` seconds, or until it answers: it keeps a call waiting."""
        self._heard = False
        self._unary_until = asyncio.get_running_loop().time() + spread_s(self._unary_for_s)

    async def _probe(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask a call that has no effect: any answer, a failure too, proves that the stream works."""
        try:
            await self.ask(self._probe_kind, None, loop.time() + PROBE_S)
        except (grpc.aio.AioRpcError, TimeoutError):
            if not self._heard:
                self.distrust()
                if self._link is not None:
                    self._link.cancel()
        finally:
            self._probing = None

    def try_again(self) -> None:
        """Try streams again: the peer may have been upgraded."""
        self._unary_until = 0.0

    async def ask(self, kind: str, request: Any, until: float, authorization: str = "") -> Any:
        """Return the reply; raises AioRpcError as a unary call does, and TimeoutError if there was no room until then.

        `authorization` is the call's own, where the contract's calls have a place for it.
        """
        if self._room.locked():
            async with asyncio.timeout_at(until):
                await self._room.acquire()
        else:
            await self._room.acquire()
        number = next(self._ids)
        try:
            outcome = await self._send(number, kind, request, until, authorization)
        finally:
            self._room.release()
            self._asked.pop(number, None)
            self._queue.pop(number, None)
        if isinstance(outcome, grpc.aio.AioRpcError):
            raise outcome
        return outcome

    def _send(self, number: int, kind: str, request: Any, until: float, authorization: str) -> asyncio.Future[Any]:
        """Queue a call, encoded once, and return what will be its reply or the error it ends with."""
        loop = asyncio.get_running_loop()
        message = self._calls()
        call = message.calls.add(id=number, timeout_ms=max(int((until - loop.time()) * 1_000), 1))
        if authorization:
            call.authorization = authorization
        if request is None:
            getattr(call, kind).SetInParent()
        else:
            getattr(call, kind).CopyFrom(request)
        body = message.SerializeToString()
        outcome: asyncio.Future[Any] = loop.create_future()
        if len(body) > MAX_MESSAGE_BYTES:
            outcome.set_result(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "the request is too large"))
            return outcome
        self._asked[number] = kind, outcome
        self._queue[number] = body
        self._deadlines.add(number, until)
        if self._writer is None:
            self._writer = loop.create_task(self._write(loop), name=f"write {self.path}")
        return outcome

    async def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write until nothing is queued, one message at a time; the peer's flow control says when the next may go."""
        try:
            while self._queue:
                if self._link is None and not self._connect(loop):
                    return
                link = self._link
                try:
                    if message := self._take(loop):
                        await link.write(message)
                except BROKEN:
                    link.cancel()
                    me = asyncio.current_task()
                    if me is not None and me.cancelling():
                        raise
                    if self._link is link and self._reader is not None:
                        await asyncio.wait([self._reader])  # it knows what the stream ended with
        finally:
            self._writer = None

    def _connect(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Open a stream; False, and nothing is queued any more, if it can't be now."""
        why = "the stream has just broken"
        if loop.time() >= self._pause_until:
            try:
                self._link = self._open()
            except grpc.aio.UsageError as error:  # the channel is closed
                why = str(error)
            else:
                self.opened += 1
                self._heard, self._silent_since, self._unanswered = False, None, 0
                self._reader = loop.create_task(self._read(self._link), name=f"read {self.path}")
                loop.call_later(self._idle_s, self._rest, self._link)
                return True
        self._fail(list(self._queue), grpc.StatusCode.UNAVAILABLE, why)
        return False

    def _take(self, loop: asyncio.AbstractEventLoop) -> bytes:
        """Take the oldest calls that are still waited for as one message, empty if there are none.

        Protobuf joins lists where messages stand one behind the other, so each call is encoded once, by itself.
        """
        parts: list[bytes] = []
        size = 0
        while self._queue and len(parts) < BATCH_CALLS:
            number, body = self._queue.popitem(last=False)
            if self._asked[number][1].done():
                continue
            size += len(body)
            if parts and size > BATCH_BYTES:
                self._queue[number] = body
                self._queue.move_to_end(number, last=False)
                break
            parts.append(body)
        self.messages += bool(parts)
        self.carried += len(parts)
        self._used_at = loop.time()
        if parts and self._silent_since is None:
            self._silent_since = self._used_at
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _read(self, link: Any) -> None:
        """Distribute answers until the stream ends, then fail the calls that have none."""
        code, detail = grpc.StatusCode.UNAVAILABLE, "the stream ended"
        try:
            while (answers := await link.read()) is not grpc.aio.EOF:
                if answers is None:  # grpc's word for what can't be read
                    code, detail = grpc.StatusCode.INTERNAL, "an answer that can't be read"
                    break
                self._hear(answers)
        except grpc.aio.AioRpcError as error:
            code, detail = error.code(), error.details() or ""
        finally:
            link.cancel()
            if link is self._link:
                self._end(code, detail)

    def _hear(self, answers: Any) -> None:
        self._heard, self._silent_since, self._unanswered = True, None, 0
        self.heard += 1
        for answer in answers.answers:
            asked = self._asked.get(answer.id)
            if asked is None:
                continue
            kind, outcome = asked
            which = answer.WhichOneof("outcome")
            if outcome.done():
                continue
            if which == kind:
                outcome.set_result(getattr(answer, kind))
            elif which == "failure":
                code = CODES.get(answer.failure.code, grpc.StatusCode.UNKNOWN)
                outcome.set_result(failure(code, answer.failure.detail))
            else:
                outcome.set_result(failure(grpc.StatusCode.INTERNAL, "an answer to another question"))

    def _end(self, code: grpc.StatusCode, detail: str) -> None:
        """Fail the calls that were written to the stream that ended; queued calls go on to the next stream."""
        now = asyncio.get_running_loop().time()
        self._link = self._reader = None
        if code is grpc.StatusCode.UNIMPLEMENTED:
            self._unary_until = now + spread_s(self._unary_for_s)
            self._fail(list(self._asked), code, detail)
            return
        self._breaks = 0 if self._heard else self._breaks + 1
        pause_s = equal_jitter_s(self._breaks, FIRST_PAUSE_S, MAX_PAUSE_S) if self._breaks else 0.0
        self._pause_until = now + pause_s
        lost = grpc.StatusCode.UNAVAILABLE if code is grpc.StatusCode.OK else code
        self._fail([number for number in self._asked if number not in self._queue], lost, detail)

    def _rest(self, link: Any) -> None:
        """Close the stream if it has been idle for `idle_s` seconds, else check again when it may be."""
        if link is not self._link:
            return
        loop = asyncio.get_running_loop()
        idle_s = loop.time() - self._used_at
        if self._asked or idle_s < self._idle_s:
            loop.call_later(self._idle_s if self._asked else self._idle_s - idle_s, self._rest, link)
        else:
            self._link = None
            link.cancel()

    def _fail(self, numbers: list[int], code: grpc.StatusCode, detail: str) -> None:
        for number in numbers:
            self._queue.pop(number, None)
            outcome = self._asked[number][1]
            if not outcome.done():
                outcome.set_result(failure(code, detail))

    def _give_up(self, number: int) -> None:
        """Fail a call at its deadline; cancel a stream on which SILENT_CALLS calls timed out in a row."""
        self._fail([number], grpc.StatusCode.DEADLINE_EXCEEDED, "no answer in time")
        self._unanswered += 1
        silent_s = asyncio.get_running_loop().time() - self._silent_since if self._silent_since is not None else 0.0
        if self._link is not None and self._unanswered >= SILENT_CALLS and silent_s >= SILENT_S:
            self._link.cancel()
