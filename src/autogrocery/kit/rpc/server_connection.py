"""The server's end of one HTTP/2 connection with unary gRPC calls (RFC 9113, grpc/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError
from msgspec import Struct

from autogrocery.kit.process.log import log
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.frames import ErrorCode, FrameReader, ProtocolError, Setting, widened
from autogrocery.kit.rpc.header_blocks import NO_TABLE, BlockDecoder, MalformedFieldsError, encode
from autogrocery.kit.rpc.http2_end import Http2End
from autogrocery.kit.rpc.server_call import (
    GRPC_TYPE,
    ServerCall,
    ServerMethod,
    is_grpc,
    outcome_of,
    read_message,
    timeout_s_of,
)
from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, MESSAGE_HEAD_BYTES, Code, RpcError, encode_detail
from autogrocery.kit.security.tls import dns_names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STREAMS: Final = 256  # open at once on a connection, and as many calls in work, those of reset streams included
MAX_BUFFERED_BYTES: Final = 8 << 20  # of requests that have not ended, and of answers that wait for their windows
CONNECTION_WINDOW: Final = 16 << 20
MAX_CONNECTIONS: Final = 256
HANDSHAKE_S: Final = 5.0  # for TLS, and then for the first frame
SEND_S: Final = 20.0  # for a client that does not read
PING_AFTER_S: Final = 30.0  # of silence
PING_S: Final = 10.0  # for the answer to a ping
CLOSE_S: Final = 1.0  # for the last bytes
ABANDON_S: Final = 30.0  # after a call's deadline; every step of a call has a shorter deadline of its own
DRAINING: Final = b"draining"  # what a ping says whose answer ends the calls that crossed the first GOAWAY
_GREETING: Final = frames.settings(
    {
        Setting.HEADER_TABLE_SIZE: 0,
        Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
        Setting.INITIAL_WINDOW_SIZE: MAX_MESSAGE_BYTES + MESSAGE_HEAD_BYTES + 1,  # the byte too many can arrive
        Setting.MAX_HEADER_LIST_SIZE: frames.MAX_BLOCK_BYTES,
    }
) + frames.window_update(0, CONNECTION_WINDOW - frames.FIRST_WINDOW)
_GRPC: Final = ((b":status", b"200"), (b"content-type", GRPC_TYPE))
_HEAD: Final = encode(_GRPC)
_OK: Final = encode(((b"grpc-status", b"0"),))


class _Stream(Struct, eq=False):
    number: int
    window: int
    until: float
    method: ServerMethod
    fields: Mapping[bytes, bytes]
    body: bytes | bytearray = b""
    ended: bool = False  # the request has
    work: asyncio.Task[None] | None = None
    rest: memoryview = memoryview(b"")  # of the answer


class ServerConnection(Http2End):
    """Answers the calls of one connection, which is in `connections` until it is lost and no call of it is in work.

    A call outlives its deadline, its stream and its connection, because it may be inside a commit; only its answer is
    not sent. `check` is called every second, and cancels a call that runs ABANDON_S seconds beyond its deadline.
    """

    def __init__(self, methods: Mapping[bytes, ServerMethod], connections: set[ServerConnection]) -> None:
        super().__init__(asyncio.get_running_loop())
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._working: dict[int, _Stream] = {}
        self._methods = methods
        self._connections = connections
        self._certificate: Mapping[str, Any] = {}
        self._names: frozenset[str] = frozenset()
        self._reader = FrameReader(frames.PREFACE)
        self._decoder = BlockDecoder()
        self._streams: dict[int, _Stream] = {}
        self._stalled: dict[int, _Stream] = {}
        self._buffered = 0
        self._last = 0  # the highest stream of the client
        self._window = self._first_window = frames.FIRST_WINDOW
        self._before_block = NO_TABLE
        self._greeted = self._refusing = self._lost = False
        self.heard_at = self._paused_at = self._pinged_at = self._closed_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether no call is open or in work."""
        return not self._streams and not self._working

    def connection_made(self, transport: Any) -> None:
        """Greet the client, or abort: without an agreement on HTTP/2, or if all other connections are busy."""
        self._transport = transport
        self.heard_at = self._loop.time()
        if not (self._agrees() and self._make_room()):
            transport.abort()
            return
        self._connections.add(self)
        self._certificate = transport.get_extra_info("peercert") or {}
        self._names = dns_names_of(self._certificate)
        self._send(_GREETING)

    def _make_room(self) -> bool:
        if len(self._connections) < MAX_CONNECTIONS:
            return True
        idle = [connection for connection in self._connections if connection.idle]
        if idle:
            longest = min(idle, key=lambda connection: connection.heard_at)
            self._connections.discard(longest)
            longest.cancel()
        return bool(idle)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the streams; calls in work go on."""
        self._lost = True
        self._streams.clear()
        self._stalled.clear()
        self._out.clear()
        self._leave_if_over()

    def _leave_if_over(self) -> None:
        if self._lost and not self._working and not self.gone.done():
            self._connections.discard(self)
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        """Read no further calls from a client that does not read our answers."""
        self._paused_at = self._loop.time()
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._paused_at = 0.0
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Act on every frame that is complete; a violation of the protocol ends the connection with a GOAWAY."""
        if self._closed_at:
            return
        if self._greeted:  # until then the time to greet runs
            self.heard_at, self._pinged_at = self._loop.time(), 0.0
        try:
            for kind, flags, number, payload in self._reader.feed(data):
                if kind == frames.HEADERS:
                    self._read_headers(number, flags, payload)
                elif kind == frames.DATA:
                    self._read_data(number, flags, payload)
                else:
                    self._read_control(kind, flags, number, payload)
        except ProtocolError as error:
            log.warning("http2_violated", code=error.code.name, reason=error.reason, names=sorted(self._names))
            self._close(error.code)
        else:
            if self._reader.data_bytes > CONNECTION_WINDOW // 2:
                self._send(frames.window_update(0, self._reader.data_bytes))
                self._reader.data_bytes = 0

    def _read_headers(self, number: int, flags: int, block: bytes) -> None:
        try:
            fields = self._decoder.decode(block)
        except MalformedFieldsError:
            fields = {}
        if not number & 1:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a client's stream has an even number")
        if number <= self._last:  # trailers, or of a stream that is over
            self._reader.note_idle()
            stream = self._streams.get(number)
            if stream is not None and not stream.ended:
                self._end_request(stream)
            return
        self._last = number
        if self._refusing:
            return
        if max(len(self._streams), len(self._working)) >= MAX_STREAMS:
            self._reader.note_idle()
            self._send(frames.reset(number, ErrorCode.REFUSED_STREAM))
        elif not fields.keys() >= {b":method", b":scheme", b":path"}:
            self._send(frames.reset(number, ErrorCode.PROTOCOL_ERROR))
        else:
            self._begin(number, flags, fields)

    def _begin(self, number: int, flags: int, fields: Mapping[bytes, bytes]) -> None:
        """Open a stream if its head is that of a call that its caller may make; else answer at once."""
        ended = bool(flags & frames.END_STREAM)
        if fields[b":method"] != b"POST" or not is_grpc(fields.get(b"content-type", b"")):
            status = b"415" if fields[b":method"] == b"POST" else b"405"
            self._finish(number, encode(((b":status", status),)), ended=ended)
            return
        until = self._loop.time() + timeout_s_of(fields.get(b"grpc-timeout"))
        method = self._methods.get(fields[b":path"])
        if method is None:
            self._refuse(number, Code.UNIMPLEMENTED, "there is no such method", ended=ended)
        elif method.allowed is not None and self._names.isdisjoint(method.allowed):
            log.warning("caller_refused", method=method.act.__name__, names=sorted(self._names))
            self._refuse(number, Code.PERMISSION_DENIED, "this certificate is not for this call", ended=ended)
        else:
            stream = self._streams[number] = _Stream(number, self._first_window, until, method, fields)
            if ended:
                self._end_request(stream)

    def _read_data(self, number: int, flags: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        ended = bool(flags & frames.END_STREAM)
        if number > self._last:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "DATA of a stream that was never opened")
        if stream is None or stream.ended or not (payload or ended):
            self._reader.note_idle()
        elif ended and not stream.body:
            stream.body = payload
            self._end_request(stream)
        else:
            if not stream.body:
                stream.body = bytearray()
            stream.body += payload
            self._buffered += len(payload)
            if len(stream.body) > MAX_MESSAGE_BYTES + MESSAGE_HEAD_BYTES or self._buffered > MAX_BUFFERED_BYTES:
                self._forget(number)
                self._refuse(number, Code.RESOURCE_EXHAUSTED, "the request is too large", ended=ended)
            elif ended:
                self._buffered -= len(stream.body)
                self._end_request(stream)

    def _read_control(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == frames.SETTINGS:
            self._read_settings(flags, payload)
        elif kind == frames.PING:
            if not flags & frames.ACK:
                self._send(frames.frame(frames.PING, frames.ACK, 0, payload))
            elif payload == DRAINING:
                self._refuse_new()
        elif number > self._last:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame of a stream that was never opened")
        elif kind == frames.RST_STREAM:
            self._forget(number)
            self._close_if_drained()
        elif kind == frames.WINDOW_UPDATE:
            self._widen(number, int.from_bytes(payload, "big") & frames.MAX_WINDOW)

    def _read_settings(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            self._decoder.drop_table()
            return
        self._greeted = True
        first = frames.read_settings(payload).get(Setting.INITIAL_WINDOW_SIZE, self._first_window)
        for stream in self._streams.values():
            stream.window = widened(stream.window, first - self._first_window)
        self._first_window = first
        self._send(frames.SETTINGS_ACK)
        self._send_stalled()

    def _widen(self, number: int, more: int) -> None:
        if not more:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window is widened by nothing")
        if number == 0:
            self._window = widened(self._window, more)
        elif (stream := self._streams.get(number)) is not None:
            stream.window = widened(stream.window, more)
        self._send_stalled()

    def _end_request(self, stream: _Stream) -> None:
        """Start the work of a call whose request is complete."""
        stream.ended = True
        body, stream.body = stream.body, b""
        try:
            request = stream.method.decode(read_message(body, stream.fields.get(b"grpc-encoding", b"identity")))
        except RpcError as error:
            self._forget(stream.number)
            self._refuse(stream.number, error.code, error.detail, ended=True)
        except DecodeError:
            self._forget(stream.number)
            self._refuse(stream.number, Code.INTERNAL, "the request can't be decoded", ended=True)
        else:
            self._working[stream.number] = stream
            stream.work = self._loop.create_task(self._work(stream, request))

    async def _work(self, stream: _Stream, request: Any) -> None:
        """Run one call, then answer it, unless the client has given it up."""
        try:
            reply, code, detail = await outcome_of(stream.method, request, ServerCall(stream.fields, self._certificate))
        finally:
            del self._working[stream.number]
            self._leave_if_over()
        if stream.number not in self._streams:
            return
        if self._loop.time() >= stream.until:
            code, detail = Code.DEADLINE_EXCEEDED, "the call was answered after its deadline"
        if code is Code.OK:
            self._answer(stream, reply)
        else:
            self._forget(stream.number)
            self._refuse(stream.number, code, detail, ended=True)

    def _answer(self, stream: _Stream, reply: bytes) -> None:
        number, size = stream.number, len(reply) + MESSAGE_HEAD_BYTES
        message = b"\0%b%b" % (len(reply).to_bytes(4, "big"), reply)
        if size <= stream.window and size <= self._window and size <= frames.MAX_FRAME_BYTES:
            self._window -= size
            self._send(self._block(number, 0, _HEAD) + frames.frame(frames.DATA, 0, number, message))
            self._forget(number)
            self._finish(number, _OK, ended=True)
        elif self._buffered + size > MAX_BUFFERED_BYTES:
            self._forget(number)
            self._refuse(number, Code.RESOURCE_EXHAUSTED, "too many answers wait to be read", ended=True)
        else:
            self._send(self._block(number, 0, _HEAD))
            stream.rest = memoryview(message)
            self._stalled[number] = stream
            self._buffered += size
            self._send_stalled()

    def _send_stalled(self) -> None:
        """Send what the windows allow of the answers that wait for them."""
        for number, stream in list(self._stalled.items()):
            while (size := min(len(stream.rest), self._window, stream.window, frames.MAX_FRAME_BYTES)) > 0:
                self._send(frames.frame(frames.DATA, 0, number, bytes(stream.rest[:size])))
                stream.rest = stream.rest[size:]
                stream.window -= size
                self._window -= size
                self._buffered -= size
            if not stream.rest:
                self._forget(number)
                self._finish(number, _OK, ended=True)

    def _refuse(self, number: int, code: Code, detail: str, *, ended: bool) -> None:
        """Answer with a status alone."""
        status = (b"grpc-status", b"%d" % code), (b"grpc-message", encode_detail(detail))
        accepted = ((b"grpc-accept-encoding", b"identity"),) if code is Code.UNIMPLEMENTED else ()
        self._finish(number, encode((*_GRPC, *accepted, *status)), ended=ended)

    def _finish(self, number: int, block: bytes, *, ended: bool) -> None:
        """End a stream with a last header block; a client that is still sending is told to stop (RFC 9113 §8.1)."""
        self._reader.note_call()
        self._send(self._block(number, frames.END_STREAM, block))
        if not ended:
            self._send(frames.reset(number, ErrorCode.NO_ERROR))
        self._close_if_drained()

    def _block(self, number: int, flags: int, block: bytes) -> bytes:
        before, self._before_block = self._before_block, b""
        return frames.frame(frames.HEADERS, frames.END_HEADERS | flags, number, before + block)

    def _forget(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._stalled.pop(number, None)
            self._buffered -= len(stream.rest) + len(stream.body)

    def drain(self) -> None:
        """Let the client start no further call; answer those in work, and those that are on their way, then close."""
        if not self._greeted:
            self._transport.abort()
        self._send(frames.goaway(frames.LAST_STREAM, ErrorCode.NO_ERROR))
        self._send(frames.frame(frames.PING, 0, 0, DRAINING))

    def _refuse_new(self) -> None:
        self._refusing = True
        self._send(frames.goaway(self._last, ErrorCode.NO_ERROR))
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._refusing and not self._streams:
            self._close(ErrorCode.NO_ERROR)

    def _close(self, code: ErrorCode) -> None:
        if not self._closed_at:
            self._closed_at = self._loop.time()
            if code and not self._refusing:
                self._send(frames.goaway(self._last, code))
            self._flush()
            self._transport.close()

    def cancel(self) -> None:
        """Close at once, and cancel the calls in work."""
        self._transport.abort()
        for stream in self._working.values():
            self._cancel(stream)

    def _cancel(self, stream: _Stream) -> None:
        log.error("call_abandoned", method=stream.method.act.__name__)
        if stream.work is not None:
            stream.work.cancel()

    def check(self, now: float) -> None:
        """Keep the connection's deadlines: to be called every second."""
        for stream in [stream for stream in self._streams.values() if stream.until < now]:
            if stream.number not in self._working or stream.until + ABANDON_S < now:
                self._forget(stream.number)
                self._send(frames.reset(stream.number, ErrorCode.CANCEL))
                self._close_if_drained()
        for stream in self._working.values():
            if stream.until + ABANDON_S < now:
                self._cancel(stream)
        if self._lost:
            return
        silent_s = now - self.heard_at
        late = (
            (self._closed_at and now - self._closed_at > CLOSE_S)
            or (self._paused_at and now - self._paused_at > SEND_S)
            or (not self._greeted and silent_s > HANDSHAKE_S)
            or (self._pinged_at and now - self._pinged_at > PING_S)
        )
        if late:
            self._transport.abort()
        elif silent_s > PING_AFTER_S and not self._pinged_at:
            self._pinged_at = now
            self._send(frames.frame(frames.PING, 0, 0, b"are you?"))
