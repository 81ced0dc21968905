"""The pause between two batches."""

from __future__ import annotations

import pytest

from autogrocery.notifier.core.pace import BATCH, BUSY_WAIT_S, IDLE_WAIT_S, PAUSE_PER_CPU, Pace


def test_a_backlog_takes_a_third_of_a_core_at_most() -> None:
    pace = Pace()
    for cpu_s in (0.016, 0.030):
        pace.after_batch(BATCH, cpu_s)
        assert pace.wait_s == cpu_s * PAUSE_PER_CPU
        assert cpu_s / (cpu_s + pace.wait_s) <= 1 / 3


@pytest.mark.parametrize("claimed", [1, BATCH - 1])
def test_what_is_no_backlog_is_gathered(claimed: int) -> None:
    pace = Pace()
    pace.after_batch(claimed, 0.001)
    assert pace.wait_s == BUSY_WAIT_S
    pace.after_batch(claimed, 0.2)
    assert pace.wait_s == 0.2 * PAUSE_PER_CPU


def test_waits_double_while_nothing_is_due_and_are_short_again_after_work() -> None:
    pace, waits = Pace(), []
    for _ in range(5):
        pace.after_batch(0, 0.001)
        waits.append(pace.wait_s)
    assert waits == [0.2, 0.4, 0.8, IDLE_WAIT_S, IDLE_WAIT_S]
    pace.after_batch(3, 0.001)
    assert pace.wait_s == BUSY_WAIT_S
    pace.after_failure()
    assert pace.wait_s == IDLE_WAIT_S
    pace.after_batch(BATCH, 0.0)
    assert pace.wait_s == 0.0
    pace.after_batch(0, 0.0)
    assert pace.wait_s == 2 * BUSY_WAIT_S
