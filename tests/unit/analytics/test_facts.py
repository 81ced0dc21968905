from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.analytics.core.durations import MAX_MS
from autogrocery.analytics.core.facts import Minute, fact_of
from autogrocery.contracts.analytics.metric import OrderMetric
from tests.harness.analytics_gateway import metric
from tests.harness.fact_stores import STARTED_AT_US, change, fact

METRICS = st.builds(
    OrderMetric,
    order_id=st.uuids().map(str) | st.text(max_size=50),
    status=st.sampled_from(["PREVIEWED", "COMPLETED", "done", "X" * 40, ""]),
    duration_seconds=st.floats(0, 1e300),
    timestamp=st.integers(-(1 << 63), (1 << 63) - 1),
    occurred_at_us=st.integers(-(1 << 63), (1 << 63) - 1) | st.just(STARTED_AT_US),
    epoch=st.integers(0, (1 << 64) - 1),
    sequence=st.integers(0, (1 << 64) - 1),
    total_cents=st.integers(-(1 << 63), (1 << 63) - 1),
    item_count=st.integers(0, 0xFFFF),
    line_count=st.integers(0, 0xFFFF),
    store_id=st.text(max_size=70),
    version=st.integers(0, (1 << 32) - 1),
)


@given(METRICS)
def test_metric_becomes_a_fact_within_the_columns_bounds_or_raises_value_error(one: OrderMetric) -> None:
    try:
        found = fact_of(one)
    except ValueError:
        return
    assert found.order_id == UUID(one.order_id)
    assert 0 < found.occurred_at < 1 << 52
    assert 0 <= found.duration_ms <= MAX_MS
    assert found.store_id.isprintable() or not found.store_id


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"order_id": "x"}, "order id"),
        ({"order_id": ""}, "order id"),
        ({"status": ""}, "status"),
        ({"status": "done"}, "status"),
        ({"status": "X" * 40}, "status"),
        ({"store_id": "m" * 65}, "store id"),
        ({"store_id": "mart\n1"}, "store id"),
        ({"timestamp": 0, "occurred_at_us": 0}, "time"),
        ({"occurred_at_us": -1}, "time"),
        ({"occurred_at_us": 1 << 62}, "time"),
    ],
)
def test_flaw_is_named(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fact_of(metric(1, **changed))


def test_time_of_a_publisher_with_four_fields_is_its_timestamp() -> None:
    assert fact_of(metric(1, timestamp=1_767_225_600, occurred_at_us=0)).occurred_at == 1_767_225_600_000_000


def test_minute_begins_at_a_whole_minute() -> None:
    assert fact(61, store_id="mart-7").minute == Minute("mart-7", STARTED_AT_US // 1_000_000 + 60)


def test_duration_is_in_whole_milliseconds() -> None:
    assert fact_of(change(1, duration_seconds=1.2346)).duration_ms == 1_235
