"""The client's end of one HTTP/2 connection (RFC 9113) that carries unary gRPC calls, each on a stream of its own.

The connection never repeats a call: one that the peer says
it has not processed goes back to the owner; any other that was sent and not answered ends UNAVAILABLE, in doubt.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.client_call import Call, outcome_of
from autogrocery.kit.rpc.frames import ErrorCode, FrameReader, ProtocolError, Setting, frame, widened
from autogrocery.kit.rpc.header_blocks import MAX_LIST_BYTES, NO_TABLE, BlockDecoder, MalformedFieldsError
from autogrocery.kit.rpc.http2_end import Http2End
from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, MESSAGE_HEAD_BYTES, RESET_CODES, Code, RpcError

if TYPE_CHECKING:
    import asyncio

MAX_CALLS: Final = 1_024  # at once on one connection, if the peer allows so many
CONNECTION_WINDOW: Final = 1 << 24
STREAM_WINDOW: Final = MAX_MESSAGE_BYTES + (64 << 10)  # never extended: an answer has one message
MAX_HELD_BYTES: Final = 1 << 25  # of answers that are not complete
WRITE_BYTES: Final = 1 << 16  # of large requests in one write
PING_EVERY_S: Final = 10.0  # of silence while calls wait; servers take more frequent ones for a flood
PING_TIMEOUT_SHARE: Final = 0.3  # of that time, for the answer
CLOSE_S: Final = 1.0
OURS: Final = (
    frames.PREFACE
    + frames.settings(
        {
            Setting.HEADER_TABLE_SIZE: 0,
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
        }
    )
    + frames.window_update(0, CONNECTION_WINDOW - frames.FIRST_WINDOW)
)


class Owner(Protocol):
    """What a connection tells its owner, which hands it calls."""

    def on_room(self, connection: Connection) -> None:
        """It may have room for more calls."""

    def on_unprocessed(self, call: Call) -> None:
        """The peer says that it has not processed this call and will not."""

    def on_leaving(self, connection: Connection) -> None:
        """It takes no more calls; told at least once."""


class Connection(Http2End):
    """One connection; `ready` is True once it takes calls, False if it never does; `closed` is done when it is over."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, ping_every_s: float = PING_EVERY_S) -> None:
        super().__init__(loop)
        self._ping_every_s = ping_every_s
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.answered = False  # any call, ever
        self._owner = owner
        self._open = False
        self._paused = False
        self.reason = "the connection was lost"
        self._calls: dict[int, Call] = {}
        self._next_stream = 1
        self._max_calls = MAX_CALLS
        self._reader = FrameReader()
        self._decoder = BlockDecoder()
        self._window = self._first_window = frames.FIRST_WINDOW
        self._stalled: deque[Call] = deque()  # messages that have not left wholly
        self._heard_at = self._pinged_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Send our settings if both ends have agreed on HTTP/2."""
        self._transport = transport
        if not self._agrees():
            self.reason = "the peer does not speak HTTP/2"
            transport.abort()
            return
        self._send(OURS)
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(self._ping_every_s, self._check_alive)

    def connection_lost(self, _error: Exception | None) -> None:
        """End every call in doubt."""
        self._leave()
        if self._timer is not None:
            self._timer.cancel()
        self._end_all()
        if not self.ready.done():
            self.ready.set_result(False)
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Take no calls until the peer has read what was written."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on with what was begun, then with new calls."""
        self._paused = False
        self._push()
        self._owner.on_room(self)

    @property
    def is_open(self) -> bool:
        """Whether it takes new calls."""
        return self._open

    def has_room(self) -> bool:
        """Return whether a call may be started now."""
        return self._open and not self._paused and len(self._calls) < self._max_calls

    def start(self, call: Call) -> None:
        """Send a call; there must be room."""
        stream, head, message = self._next_stream, call.head, call.message
        self._next_stream = stream + 2
        if self._next_stream > frames.LAST_STREAM:
            self._leave()
        call.stream, call.connection = stream, self
        self._calls[stream] = call
        self._reader.note_call()
        at, size = stream.to_bytes(4, "big"), len(message)
        if (
            stream > 1
            and size <= frames.MAX_FRAME_BYTES
            and size <= self._window
            and size <= self._first_window
            and not self._stalled
        ):
            self._window -= size
            self._send(b"%b%b%b%b\x00\x01%b%b" % (head[:5], at, head[5:], size.to_bytes(3, "big"), at, message))
            return
        block = head[5:] if stream > 1 else NO_TABLE + head[5:]
        self._send(frame(frames.HEADERS, frames.END_HEADERS, stream, block))
        call.left, call.window = message, self._first_window
        self._stalled.append(call)
        self._push()

    def drop(self, call: Call) -> None:
        """Tell the peer that this call is not waited for any more."""
        self._forget(call)
        self._send(frames.reset(call.stream, ErrorCode.CANCEL))
        self._after_end()

    def leave(self) -> None:
        """Take no more calls, and close when those in flight have ended."""
        self._leave()
        self._after_end()

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Say why, end all calls in doubt, and close; a peer that does not read that in time is cut off."""
        if self._transport is None or self._transport.is_closing():
            return
        self._send(frames.goaway(0, code))
        self._flush()
        self._transport.close()
        self._loop.call_later(CLOSE_S, self._transport.abort)
        self._leave()
        self._end_all()

    def data_received(self, data: bytes) -> None:
        """Read frames; the first that breaks HTTP/2 ends the connection."""
        self._heard_at = self._loop.time()
        if self._transport.is_closing():
            return
        try:
            for kind, flags, stream, payload in self._reader.feed(data):
                if kind == frames.DATA:
                    self._take_body(stream, payload, ends=bool(flags & frames.END_STREAM))
                elif kind == frames.HEADERS:
                    self._take_block(stream, payload, ends=bool(flags & frames.END_STREAM))
                else:
                    self._take_control(kind, flags, stream, payload)
            if self._reader.data_bytes >= CONNECTION_WINDOW // 2:
                self._extend_window()
        except ProtocolError as error:
            self.reason = f"the peer broke HTTP/2: {error.reason}"
            self.close(error.code)
        else:
            self._after_end()

    def _take_body(self, stream: int, payload: bytes, *, ends: bool) -> None:
        call = self._known(stream)
        if call is None:
            return
        if not call.body:
            call.body = payload
        else:
            if isinstance(call.body, bytes):
                call.body = bytearray(call.body)
            call.body += payload
        if call.fields is None:
            self._reset(call, Code.INTERNAL, "a message before its header")
        elif len(call.body) > MAX_MESSAGE_BYTES + MESSAGE_HEAD_BYTES:
            self._reset(call, Code.RESOURCE_EXHAUSTED, "the answer is too large")
        elif ends:
            self._finish(call, {})
        elif not payload:
            self._reader.note_idle()

    def _take_block(self, stream: int, block: bytes, *, ends: bool) -> None:
        """Read a header, or trailers, or both in one."""
        try:
            fields = self._decoder.decode(block)
        except MalformedFieldsError as error:
            if (call := self._known(stream)) is not None:
                self._reset(call, Code.INTERNAL, f"a malformed answer: {error}")
            return
        call = self._known(stream)
        if call is None:
            return
        status = fields.get(b":status")
        if call.fields is not None:
            if not ends or status is not None:
                self._reset(call, Code.INTERNAL, "a malformed answer: trailers that don't end it")
            else:
                self._finish(call, fields)
        elif status is None or len(status) != 3 or (status.startswith(b"1") and ends):  # noqa: PLR2004 - digits
            self._reset(call, Code.INTERNAL, "a malformed answer: its status")
        elif status.startswith(b"1"):  # an interim response, RFC 9113 §8.1
            self._reader.note_idle()
        else:
            call.fields = fields
            if ends:
                self._finish(call, fields)

    def _finish(self, call: Call, trailers: dict[bytes, bytes]) -> None:
        """End a call with what its answer says (grpc/doc/PROTOCOL-HTTP2.md#responses)."""
        self.answered = True
        if call.left:  # answered before all of it had left
            self._send(frames.reset(call.stream, ErrorCode.CANCEL))
        self._forget(call)
        call.end(outcome_of(call.fields or {}, trailers, call.body))

    def _known(self, stream: int) -> Call | None:
        """Return the call of a stream, None if it is over; raises ProtocolError if there was none."""
        call = self._calls.get(stream)
        if call is None:
            if stream >= self._next_stream or not stream & 1:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame of a stream that was never opened")
            self._reader.note_idle()
        return call

    def _forget(self, call: Call) -> None:
        del self._calls[call.stream]
        if call.left:
            call.left = b""
            self._stalled.remove(call)

    def _reset(self, call: Call, code: Code, detail: str) -> None:
        self._forget(call)
        self._send(frames.reset(call.stream, ErrorCode.PROTOCOL_ERROR if code is Code.INTERNAL else ErrorCode.CANCEL))
        call.end(RpcError(code, detail))

    def _take_control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big") & frames.MAX_WINDOW)
        elif kind == frames.PING:
            if not flags & frames.ACK:
                self._send(frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.RST_STREAM:
            self._take_reset(stream, int.from_bytes(payload, "big"))
        elif kind == frames.SETTINGS:
            if flags & frames.ACK:
                self._decoder.drop_table()
            else:
                self._take_settings(frames.read_settings(payload))
        else:
            self._take_goaway(int.from_bytes(payload[:4], "big") & frames.LAST_STREAM, payload[4:8])

    def _take_reset(self, stream: int, code: int) -> None:
        call = self._known(stream)
        if call is None:
            return
        if code == ErrorCode.REFUSED_STREAM:
            self._give_back(call)
        else:
            self._forget(call)
            call.end(RpcError(RESET_CODES.get(code, Code.INTERNAL), f"the peer reset the call, error {code}"))

    def _take_settings(self, values: dict[int, int]) -> None:
        self._max_calls = min(values.get(Setting.MAX_CONCURRENT_STREAMS, self._max_calls), MAX_CALLS)
        window = values.get(Setting.INITIAL_WINDOW_SIZE, self._first_window)
        for call in self._stalled:  # RFC 9113 §6.9.2: a window may become negative
            call.window = widened(call.window, window - self._first_window)
        self._first_window = window
        self._send(frames.SETTINGS_ACK)
        self._push()
        if not self.ready.done():
            self._open = True
            self.ready.set_result(True)

    def _take_goaway(self, last_stream: int, code: bytes) -> None:
        """Give back what the peer will not process, and wait for the answers to the rest (RFC 9113 §6.8)."""
        self.reason = f"the peer went away, error {int.from_bytes(code, 'big')}"
        self._leave()
        for stream in [stream for stream in self._calls if stream > last_stream]:
            self._give_back(self._calls[stream])

    def _give_back(self, call: Call) -> None:
        """Give a call back that the peer says it has not processed, so that it may be repeated (RFC 9113 §8.7)."""
        self._forget(call)
        if call.fields is None:
            self._owner.on_unprocessed(call)
        else:
            call.end(RpcError(Code.UNAVAILABLE, "the peer took back a call that it had begun to answer"))

    def _widen(self, stream: int, more: int) -> None:
        if not more:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a window extended by nothing")
        if stream == 0:
            self._window = widened(self._window, more)
        elif (call := self._known(stream)) is not None and call.left:
            call.window = widened(call.window, more)
        self._push()

    def _push(self) -> None:
        """Send what the windows allow of messages that have not left wholly, in turns."""
        for _ in range(len(self._stalled)):
            call = self._stalled.popleft()
            while call.left and not self._paused:
                size = min(frames.MAX_FRAME_BYTES, self._window, call.window, len(call.left))
                if size <= 0:
                    break
                part, call.left = call.left[:size], call.left[size:]
                self._window -= size
                call.window -= size
                self._send(frame(frames.DATA, 0 if call.left else frames.END_STREAM, call.stream, part))
                if self._out_bytes >= WRITE_BYTES:
                    self._flush()  # which may pause us
            if call.left:
                self._stalled.append(call)  # at the end, so that each gets its turn

    def _extend_window(self) -> None:
        """Let the peer send more, unless answers that don't end hold too much memory."""
        if sum(len(call.body) for call in self._calls.values()) > MAX_HELD_BYTES:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "answers without an end")
        self._send(frames.window_update(0, self._reader.data_bytes))
        self._reader.data_bytes = 0

    def _check_alive(self) -> None:
        """Ping a peer that is silent while calls wait, and give it up if it stays silent (RFC 9113 §6.7)."""
        now = self._loop.time()
        wait_s = self._heard_at + self._ping_every_s - now
        if self._heard_at < self._pinged_at:
            self.reason = "the peer is silent"
            self._transport.abort()
            return
        if wait_s <= 0:
            wait_s = self._ping_every_s
            if self._calls:
                self._pinged_at = now
                self._send(frame(frames.PING, 0, 0, b"liveness"))
                wait_s *= PING_TIMEOUT_SHARE
        self._timer = self._loop.call_later(wait_s, self._check_alive)

    def _leave(self) -> None:
        self._open = False
        self._owner.on_leaving(self)

    def _after_end(self) -> None:
        """Offer the room of calls that have ended, or close after the last one."""
        if self._open:
            self._owner.on_room(self)
        elif self.ready.done() and not self._calls:
            self.close()

    def _end_all(self) -> None:
        calls, self._calls = list(self._calls.values()), {}
        self._stalled.clear()
        for call in calls:
            call.end(RpcError(Code.UNAVAILABLE, self.reason))
