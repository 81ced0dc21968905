"""OrderMetric as a FlatBuffer: written with a fixed layout, read only after every offset was verified.

The official builder takes tens of microseconds a table, because it computes a layout; this table has one shape, so its
vtable is a constant and only the values and three strings are filled in. The result is a standard FlatBuffer.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Final

from msgspec import Struct

MAX_BYTES: Final = 1 << 16
MIN_BYTES: Final = 12  # root offset, an empty vtable, an empty table
MAX_COUNT: Final = 0xFFFF

# Offsets in the buffer: root u32, vtable of 14 u16, table of 72 bytes (8-byte fields lie on multiples of 8), strings.
_VTABLE_AT: Final = 4
_TABLE_AT: Final = 32
_STRINGS_AT: Final = 104
_ORDER_ID, _STATUS, _STORE_ID = 4, 56, 60  # offsets of the table's references to its strings
_FIELDS: Final = (_ORDER_ID, _STATUS, 8, 16, 24, 32, 40, 48, 68, 70, _STORE_ID, 64)  # by field number, as in the schema
_SIZES: Final = (4, 4, 8, 8, 8, 8, 8, 8, 2, 2, 4, 4)
_STRINGS: Final = ((0, True), (1, True), (10, False))  # field number, required
_HEAD: Final = struct.pack("<I14Hi", _TABLE_AT, 28, 72, *_FIELDS, _TABLE_AT - _VTABLE_AT)
_PACK: Final = struct.Struct(f"<{len(_HEAD)}sIdqqQQqIIIHHI").pack  # up to the length of the first string
_READ: Final = struct.Struct("<IdqqQQqIIIHH").unpack_from  # the table behind _HEAD
_REFERENCE_TO_FIRST: Final = _STRINGS_AT - (_TABLE_AT + _ORDER_ID)
_STRINGS_BEHIND_STATUS: Final = _STRINGS_AT - (_TABLE_AT + _STATUS)
_STRINGS_BEHIND_STORE: Final = _STRINGS_AT - (_TABLE_AT + _STORE_ID)
_ENDS: Final = (bytes(4), bytes(3), bytes(2), bytes(1))  # NUL and padding of a string, by its length modulo 4
_U16: Final = struct.Struct("<H").unpack_from
_U32: Final = struct.Struct("<I").unpack_from
_I32: Final = struct.Struct("<i").unpack_from


class OrderMetric(Struct, frozen=True):
    """One status change of one order; (order_id, version) is its identity, (epoch, sequence) its place in the stream.

    `duration_seconds` is the time from confirm to a terminal status, else 0. `timestamp` is in Unix seconds,
    `occurred_at_us` in Unix microseconds. Sequence 0 means that the publisher does not number its messages.
    """

    order_id: str
    status: str
    duration_seconds: float
    timestamp: int
    occurred_at_us: int = 0
    epoch: int = 0
    sequence: int = 0
    total_cents: int = 0
    item_count: int = 0
    line_count: int = 0
    store_id: str = ""
    version: int = 0


def encode(metric: OrderMetric) -> bytes:
    """Return the metric as a FlatBuffer; counts above 65,535 are written as 65,535 (the schema's ushort).

    Raises ValueError for a number outside the schema's range, or text that can't be UTF-8.
    """
    order_id = metric.order_id.encode()
    texts, store_behind_status = _texts(metric.status, metric.store_id)
    status_behind_strings = len(order_id) + 8 & ~3
    try:
        fixed = _PACK(
            _HEAD,
            _REFERENCE_TO_FIRST,
            metric.duration_seconds,
            metric.timestamp,
            metric.occurred_at_us,
            metric.epoch,
            metric.sequence,
            metric.total_cents,
            status_behind_strings + _STRINGS_BEHIND_STATUS,
            status_behind_strings + store_behind_status + _STRINGS_BEHIND_STORE,
            metric.version,
            min(MAX_COUNT, metric.item_count),
            min(MAX_COUNT, metric.line_count),
            len(order_id),
        )
    except struct.error as error:
        raise ValueError(f"a number of the metric is out of range: {error}") from None
    return b"".join((fixed, order_id, _ENDS[len(order_id) & 3], texts))


@lru_cache(maxsize=256)
def _texts(status: str, store_id: str) -> tuple[bytes, int]:
    """Return both strings as they stand in the buffer, and where the second begins: a publisher has few of them."""
    first, second = _string(status.encode()), _string(store_id.encode())
    return first + second, len(first)


def _string(text: bytes) -> bytes:
    """Return a string: its length (4 bytes), its bytes and a NUL, padded to a multiple of 4."""
    return len(text).to_bytes(4, "little") + text + _ENDS[len(text) & 3]


def decode(buffer: bytes) -> OrderMetric:
    """Return the metric in `buffer`, written by any FlatBuffers builder with this schema, an older or a newer one.

    Raises ValueError for anything else: a truncated buffer, an offset out of bounds, text that is not UTF-8, a duration
    that is negative or not finite.
    """
    if buffer.startswith(_HEAD) and _STRINGS_AT <= len(buffer) <= MAX_BYTES:
        return _decode_own_layout(buffer)
    _verify(buffer)
    from autogrocery.contracts.analytics.v1.order_metric_generated import OrderMetric as Reader  # noqa: PLC0415 - loads numpy

    table = Reader.GetRootAs(buffer)  # type: ignore[no-untyped-call]  # generated
    return OrderMetric(
        order_id=table.OrderId().decode(),
        status=table.Status().decode(),
        duration_seconds=_duration(table.DurationSeconds()),
        timestamp=table.Timestamp(),
        occurred_at_us=table.OccurredAtUs(),
        epoch=table.Epoch(),
        sequence=table.Sequence(),
        total_cents=table.TotalCents(),
        item_count=table.ItemCount(),
        line_count=table.LineCount(),
        store_id=(table.StoreId() or b"").decode(),
        version=table.Version(),
    )


def _decode_own_layout(buffer: bytes) -> OrderMetric:
    """Decode a buffer whose vtable is the one that `encode` writes: only the three strings are left to verify.

    It takes 3 µs; the generated reader takes 45.
    """
    (_, duration_s, timestamp, occurred_at_us, epoch, sequence, cents, _, _, version, items, lines) = _READ(
        buffer, len(_HEAD)
    )
    order_id, status, store_id = (_verified_string(buffer, _TABLE_AT + at) for at in (_ORDER_ID, _STATUS, _STORE_ID))
    return OrderMetric(
        order_id.decode(),
        status.decode(),
        _duration(duration_s),
        timestamp,
        occurred_at_us,
        epoch,
        sequence,
        cents,
        items,
        lines,
        store_id.decode(),
        version,
    )


def _duration(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("the duration is negative or not finite")
    return seconds


def _verify(buffer: bytes) -> None:
    """Check every offset that the reader will follow, as the C++ verifier does: the Python reader checks none."""
    size = len(buffer)
    if not MIN_BYTES <= size <= MAX_BYTES:
        raise ValueError("the length is outside that of a metric")
    table_at = _U32(buffer)[0]
    _within(table_at, 4, 4, size)
    vtable_at = table_at - _I32(buffer, table_at)[0]
    _within(vtable_at, 4, 2, size)
    vtable_size, table_size = _U16(buffer, vtable_at)[0], _U16(buffer, vtable_at + 2)[0]
    _within(vtable_at, max(vtable_size, 4), 2, size)
    _within(table_at, max(table_size, 4), 4, size)
    if vtable_size % 2:
        raise ValueError("the vtable ends within a field")
    known = min((vtable_size - 4) // 2, len(_SIZES))
    offsets = [_U16(buffer, vtable_at + 4 + 2 * number)[0] for number in range(known)]
    for offset, width in zip(offsets, _SIZES, strict=False):
        if offset:
            _within(table_at + offset, width, width, table_at + table_size)
    for number, required in _STRINGS:
        offset = offsets[number] if number < known else 0
        if offset:
            _verified_string(buffer, table_at + offset)
        elif required:
            raise ValueError("a required field is missing")


def _verified_string(buffer: bytes, reference_at: int) -> bytes:
    """Return the bytes of the string to which the reference at `reference_at` points; raises ValueError."""
    at = reference_at + _U32(buffer, reference_at)[0]
    _within(at, 4, 4, len(buffer))
    length = _U32(buffer, at)[0]
    _within(at + 4, length + 1, 1, len(buffer))
    if buffer[at + 4 + length]:
        raise ValueError("a string does not end in NUL")
    return buffer[at + 4 : at + 4 + length]


def _within(at: int, width: int, alignment: int, end: int) -> None:
    if at < 0 or at % alignment or at + width > end:
        raise ValueError("an offset is out of bounds or misaligned")
