"""HTTP/2 frames (RFC 9113 §4, §6): their encoding, and a reader that checks each frame by itself; for both ends.

Pure: bytes in, frames out. What depends on which streams are open is checked by the connection.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The kinds of frames.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
# Flags, whose meaning depends on the kind.
END_STREAM = ACK = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD_BYTES: Final = 9
MAX_FRAME_BYTES: Final = 16_384  # what every peer may send and must take; neither end asks for more
MAX_BLOCK_BYTES: Final = 16_384  # of one header block, all of its CONTINUATION frames together
MAX_CONTINUATIONS: Final = 8
MAX_IDLE_FRAMES: Final = 10_000  # that carry no part of a call, beyond those that the calls account for
IDLE_FRAMES_PER_CALL: Final = 256  # updates of windows, pings, what comes late; more than any peer sends
FIRST_WINDOW: Final = 65_535
MAX_WINDOW: Final = (1 << 31) - 1
LAST_STREAM: Final = (1 << 31) - 1


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """What one end tells the other about itself (RFC 9113 §6.5.2)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ProtocolError(Exception):
    """The peer breaks HTTP/2: the connection ends with a GOAWAY of this `code`."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


_read_head = struct.Struct(">HBBBI").unpack_from
_PAIR: Final = struct.Struct(">HI")
_SIZES: Final = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}  # every other size is an error
_OF_THE_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})
_OF_A_STREAM: Final = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
_GOAWAY_BYTES: Final = 8  # at least


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame; `payload` has at most MAX_FRAME_BYTES."""
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


def settings(values: Mapping[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_PAIR.pack(name, value) for name, value in values.items()))


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def window_update(stream: int, more: int) -> bytes:
    """Return a frame that lets the peer send `more` bytes on a stream, or on the connection if `stream` is 0."""
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4, "big"))


def reset(stream: int, code: ErrorCode) -> bytes:
    """Return a frame that ends a stream."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last_stream: int, code: ErrorCode) -> bytes:
    """Return a frame that says: no stream of yours above `last_stream` was or will be processed."""
    return frame(GOAWAY, 0, 0, last_stream.to_bytes(4, "big") + code.to_bytes(4, "big"))


def read_settings(payload: bytes) -> dict[int, int]:
    """Return the values of a SETTINGS frame, of which the last of a name counts; raises ProtocolError (§6.5.2)."""
    values = dict(_PAIR.iter_unpack(payload))
    if values.get(Setting.ENABLE_PUSH, 0) > 1:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
    if values.get(Setting.INITIAL_WINDOW_SIZE, 0) > MAX_WINDOW:
        raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
    if not MAX_FRAME_BYTES <= values.get(Setting.MAX_FRAME_SIZE, MAX_FRAME_BYTES) < 1 << 24:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range")
    return values


def widened(window: int, more: int) -> int:
    """Return a window of flow control with `more` bytes, which may be negative; raises ProtocolError (§6.9.1)."""
    if window + more > MAX_WINDOW:
        raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large")
    return window + more


class FrameReader:
    """Cuts the bytes of one connection into frames.

    A frame is (kind, flags, stream, payload): without padding and priority, HEADERS with the whole header block. There
    is no CONTINUATION, PRIORITY or unknown frame among them. The first one is a SETTINGS frame that is no ACK. Sizes
    and stream ids are as RFC 9113 §6 demands for the kind.

    `data_bytes` counts the octets of DATA frames with their padding, as flow control does, until the connection takes
    it back to 0. Frames that carry no part of a call are counted too: a flood of them is an error.
    """

    def __init__(self, preface: bytes = b"") -> None:
        """Expect `preface` before the first frame: PREFACE at the server's end, nothing at the client's."""
        self.data_bytes = 0
        self._idle_frames = 0
        self._preface = preface
        self._rest = b""
        self._expected: int | None = SETTINGS  # the only kind of frame that may come next
        self._block = b""  # of HEADERS that CONTINUATION frames carry on
        self._block_flags = self._block_stream = self._continuations = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield the frames that are complete with `data`; raises ProtocolError after those before the error.

        The iterator is to be used up, or the connection ended.
        """
        if self._rest:
            data = self._rest + data
        if self._preface:
            data = self._after_preface(data)
        at, end_of_data = 0, len(data)
        while end_of_data - at >= FRAME_HEAD_BYTES:
            high, low, kind, flags, stream = _read_head(data, at)
            size = high << 8 | low
            if size > MAX_FRAME_BYTES:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame is too large")
            start, end = at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + size
            if end > end_of_data:
                break
            at = end
            stream &= LAST_STREAM
            plain = (kind == DATA and not flags & PADDED) or (
                kind == HEADERS and flags & (END_HEADERS | PADDED | HAS_PRIORITY) == END_HEADERS
            )
            if plain and stream and self._expected is None:
                if kind == DATA:
                    self.data_bytes += size
                yield kind, flags, stream, data[start:end]
            elif (checked := self._check(kind, flags, stream, data[start:end])) is not None:
                yield checked
        self._rest = data[at:]

    def note_idle(self) -> None:
        """Count a frame that carries no part of a call; raises ProtocolError if there are too many."""
        self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "a flood of frames that carry nothing")

    def note_call(self) -> None:
        """Count a call, which accounts for IDLE_FRAMES_PER_CALL frames."""
        if self._idle_frames:
            self._idle_frames = max(self._idle_frames - IDLE_FRAMES_PER_CALL, 0)

    def _after_preface(self, data: bytes) -> bytes:
        if not data.startswith(self._preface[: len(data)]):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "the connection does not begin with HTTP/2's preface")
        used, self._preface = len(self._preface), self._preface[len(data) :]
        return data[used:]

    def _check(self, kind: int, flags: int, stream: int, payload: bytes) -> tuple[int, int, int, bytes] | None:
        """Return the frame if it is one for the connection, None if it is dropped or incomplete."""
        if self._expected is not None:
            if kind != self._expected or (kind == SETTINGS and flags & ACK):
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame of another kind was due")
            if kind == SETTINGS:
                self._expected = None
        _check_form(kind, flags, stream, len(payload))
        if kind == DATA:
            self.data_bytes += len(payload)
            return kind, flags, stream, _without_padding(flags, payload)
        if kind == HEADERS:
            block = _without_priority(flags, _without_padding(flags, payload))
            if flags & END_HEADERS:
                return kind, flags, stream, block
            self._expected, self._continuations = CONTINUATION, 0
            self._block, self._block_flags, self._block_stream = block, flags, stream
            return None
        if kind == CONTINUATION:
            return self._continue(flags, stream, payload)
        self.note_idle()
        return (kind, flags, stream, payload) if kind <= WINDOW_UPDATE and kind != PRIORITY else None

    def _continue(self, flags: int, stream: int, payload: bytes) -> tuple[int, int, int, bytes] | None:
        if self._expected != CONTINUATION or stream != self._block_stream:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a CONTINUATION of nothing")
        self._block += payload
        self._continuations += 1
        if self._continuations > MAX_CONTINUATIONS or len(self._block) > MAX_BLOCK_BYTES:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too large")
        if not flags & END_HEADERS:
            return None
        self._expected, block, self._block = None, self._block, b""
        return HEADERS, self._block_flags | END_HEADERS, stream, block


def _check_form(kind: int, flags: int, stream: int, size: int) -> None:
    """Raise ProtocolError if size or stream id can't be of this kind; errors of one stream end the connection too."""
    if kind == PUSH_PROMISE:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE is disabled")
    if (stream and kind in _OF_THE_CONNECTION) or (not stream and kind in _OF_A_STREAM):
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a stream id that this kind of frame can't have")
    fits = size == _SIZES.get(kind, size)
    if kind == SETTINGS:
        fits = size == 0 if flags & ACK else size % _PAIR.size == 0
    elif kind == GOAWAY:
        fits = size >= _GOAWAY_BYTES
    if not fits:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a size that this kind of frame can't have")


def _without_padding(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "the padding is as long as its frame")
    return payload[1 : len(payload) - payload[0]]


def _without_priority(flags: int, block: bytes) -> bytes:
    if not flags & HAS_PRIORITY:
        return block
    if len(block) < _SIZES[PRIORITY]:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS are too short for their priority")
    return block[_SIZES[PRIORITY] :]
