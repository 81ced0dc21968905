from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.frames import ErrorCode, FrameReader, ProtocolError, Setting, frame

FIRST = frame(frames.SETTINGS, 0, 0)
OPEN = frames.END_HEADERS


def read(data: bytes, *, first: bytes = FIRST) -> list[tuple[int, int, int, bytes]]:
    found = list(FrameReader().feed(first + data))
    return found[1:] if first else found


def error_of(data: bytes, *, first: bytes = FIRST) -> ErrorCode:
    with pytest.raises(ProtocolError) as caught:
        read(data, first=first)
    return caught.value.code


def test_frames_are_read_as_they_were_written() -> None:
    written = [
        (frames.HEADERS, OPEN, 1, b"block"),
        (frames.DATA, 0, 1, b""),
        (frames.DATA, frames.END_STREAM, 1, b"x" * frames.MAX_FRAME_BYTES),
        (frames.RST_STREAM, 0, 3, b"\0\0\0\x08"),
        (frames.PING, frames.ACK, 0, b"12345678"),
        (frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
        (frames.GOAWAY, 0, 0, b"\0\0\0\x07\0\0\0\0and why"),
    ]
    assert read(b"".join(frame(*one) for one in written)) == written


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_cut_anywhere_are_the_same_frames(cuts: list[int]) -> None:
    block, body = frame(frames.HEADERS, 0, 1, b"bl"), frame(frames.DATA, frames.PADDED, 1, b"\x02bodyzz")
    whole = FIRST + block + frame(frames.CONTINUATION, OPEN, 1, b"ock") + body + frame(frames.PING, 0, 0, b"12345678")
    reader, found, at = FrameReader(), [], 0
    for cut in cuts:
        found += reader.feed(whole[at : at + cut])
        at += cut
    found += reader.feed(whole[at:])
    assert found == list(FrameReader().feed(whole))
    assert [one[3] for one in found] == [b"", b"block", b"body", b"12345678"]


def test_padding_counts_as_flow_control_counts_it() -> None:
    reader = FrameReader()
    list(reader.feed(FIRST + frame(frames.DATA, frames.PADDED, 1, b"\x02bodyzz") + frame(frames.DATA, 0, 1, b"abc")))
    assert reader.data_bytes == 7 + 3


def test_priority_and_padding_of_headers_are_removed() -> None:
    payload = b"\x03" + b"\0\0\0\0\x10" + b"block" + b"zzz"
    assert read(frame(frames.HEADERS, OPEN | frames.PADDED | frames.HAS_PRIORITY, 5, payload))[0][3] == b"block"


def test_priority_and_unknown_frames_are_dropped() -> None:
    assert read(frame(frames.PRIORITY, 0, 1, b"12345") + frame(0x10, 0xFF, 7, b"of an extension")) == []


def test_reserved_bit_of_the_stream_id_is_ignored() -> None:
    data = bytearray(frame(frames.DATA, 0, 1, b"abc"))
    data[5] |= 0x80
    assert read(bytes(data)) == [(frames.DATA, 0, 1, b"abc")]


def test_the_preface_of_a_client_is_read_in_pieces() -> None:
    reader = FrameReader(frames.PREFACE)
    assert list(reader.feed(frames.PREFACE[:10])) == []
    assert list(reader.feed(frames.PREFACE[10:] + FIRST)) == [(frames.SETTINGS, 0, 0, b"")]


def test_another_protocol_is_refused_at_its_first_bytes() -> None:
    with pytest.raises(ProtocolError):
        list(FrameReader(frames.PREFACE).feed(b"GET / HTTP/1.1\r\n"))


@pytest.mark.parametrize(
    "data",
    [frame(frames.PING, 0, 0, b"12345678"), frame(frames.SETTINGS, frames.ACK, 0), b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["ping", "ack", "http1"],
)
def test_first_frame_that_is_no_settings_is_an_error(data: bytes) -> None:
    assert error_of(data, first=b"") in {ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR}


@pytest.mark.parametrize(
    ("kind", "stream", "size"),
    [
        (frames.SETTINGS, 0, 5),
        (frames.PING, 0, 7),
        (frames.PRIORITY, 1, 4),
        (frames.RST_STREAM, 1, 5),
        (frames.WINDOW_UPDATE, 0, 3),
        (frames.GOAWAY, 0, 7),
    ],
)
def test_wrong_size_is_an_error(kind: int, stream: int, size: int) -> None:
    assert error_of(frame(kind, 0, stream, b"x" * size)) is ErrorCode.FRAME_SIZE_ERROR


def test_acknowledgement_with_a_payload_is_an_error() -> None:
    assert error_of(frame(frames.SETTINGS, frames.ACK, 0, b"123456")) is ErrorCode.FRAME_SIZE_ERROR


def test_frame_beyond_the_bound_is_an_error_before_its_payload_arrives() -> None:
    head = frame(frames.DATA, 0, 1, b"x" * (frames.MAX_FRAME_BYTES + 1))[:9]
    assert error_of(head) is ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize("kind", [frames.DATA, frames.HEADERS, frames.RST_STREAM, frames.PRIORITY])
def test_frame_of_a_stream_on_stream_0_is_an_error(kind: int) -> None:
    assert error_of(frame(kind, OPEN, 0, b"12345")) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [frames.SETTINGS, frames.PING, frames.GOAWAY])
def test_frame_of_the_connection_on_a_stream_is_an_error(kind: int) -> None:
    assert error_of(frame(kind, 0, 1, b"")) is ErrorCode.PROTOCOL_ERROR


def test_push_promise_is_an_error() -> None:
    assert error_of(frame(frames.PUSH_PROMISE, OPEN, 1, b"\0\0\0\x02")) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("payload", [b"", b"\x05abcd", b"\x01"])
def test_padding_as_long_as_its_frame_is_an_error(payload: bytes) -> None:
    assert error_of(frame(frames.DATA, frames.PADDED, 1, payload)) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "between",
    [
        frame(frames.DATA, 0, 1, b"x"),
        frame(frames.PING, 0, 0, b"12345678"),
        frame(frames.CONTINUATION, OPEN, 3, b"x"),
        frame(frames.HEADERS, OPEN, 1, b"x"),
        frame(0x10, 0, 1, b"x"),
    ],
    ids=["data", "ping", "other stream", "headers", "unknown"],
)
def test_frame_between_headers_and_continuation_is_an_error(between: bytes) -> None:
    assert error_of(frame(frames.HEADERS, 0, 1, b"x") + between) is ErrorCode.PROTOCOL_ERROR


def test_continuation_of_nothing_is_an_error() -> None:
    assert error_of(frame(frames.CONTINUATION, OPEN, 1, b"x")) is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(("size", "number"), [(8_000, 3), (0, frames.MAX_CONTINUATIONS + 1)])
def test_continuations_without_end_are_an_error(size: int, number: int) -> None:
    flood = frame(frames.HEADERS, 0, 1, b"x") + frame(frames.CONTINUATION, 0, 1, b"x" * size) * number
    assert error_of(flood) is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "one",
    [frame(frames.PING, 0, 0, b"12345678"), FIRST, frame(frames.PRIORITY, 0, 1, b"12345"), frame(0x10, 0, 1)],
    ids=["ping", "settings", "priority", "unknown"],
)
def test_flood_is_an_error_beyond_what_calls_account_for(one: bytes) -> None:
    reader = FrameReader()
    list(reader.feed(FIRST + one * (frames.MAX_IDLE_FRAMES - 1)))
    reader.note_call()
    list(reader.feed(one * frames.IDLE_FRAMES_PER_CALL))
    with pytest.raises(ProtocolError) as caught:
        list(reader.feed(one))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_frames_before_an_error_are_read() -> None:
    found = FrameReader().feed(FIRST + frame(frames.DATA, 0, 1, b"x") + frame(frames.DATA, 0, 0, b"x"))
    assert [next(found)[0], next(found)[0]] == [frames.SETTINGS, frames.DATA]
    with pytest.raises(ProtocolError):
        next(found)


def test_settings_are_read_as_they_were_written() -> None:
    values = {Setting.HEADER_TABLE_SIZE: 0, Setting.INITIAL_WINDOW_SIZE: 1 << 20}
    assert frames.read_settings(frames.settings(values)[9:]) == values


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (Setting.ENABLE_PUSH, 2, ErrorCode.PROTOCOL_ERROR),
        (Setting.INITIAL_WINDOW_SIZE, 1 << 31, ErrorCode.FLOW_CONTROL_ERROR),
        (Setting.MAX_FRAME_SIZE, 16_383, ErrorCode.PROTOCOL_ERROR),
        (Setting.MAX_FRAME_SIZE, 1 << 24, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_range_are_an_error(name: Setting, value: int, code: ErrorCode) -> None:
    with pytest.raises(ProtocolError) as caught:
        frames.read_settings(struct.pack(">HI", name, value))
    assert caught.value.code is code


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    with suppress(ProtocolError):
        assert all(one[0] <= frames.WINDOW_UPDATE for one in FrameReader().feed(FIRST + data))
