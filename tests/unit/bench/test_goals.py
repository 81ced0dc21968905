"""The goals judge the recorded figures by the bounds, beside pgbench of the same run."""

from __future__ import annotations

import msgspec
import pytest

from bench.goals import goals
from bench.measure import Receipts
from bench.record import MailEffect, Record
from tests.harness.bench_figures import CPU_US, latency, record, record_with_row, row, run, short_record, tally


def judged(found: Record) -> dict[str, tuple[str, str, bool]]:
    return {goal.figure: (goal.goal, goal.measured, goal.reached) for goal in goals(found)}


def test_short_form_is_judged_by_these_goals() -> None:
    assert [(goal.figure, goal.goal) for goal in goals(short_record())] == [
        ("64 connections: orders/s ÷ pgbench", "≥ 1.30"),
        ("64 connections: CPU µs an order, gateway", "≤ 330"),
        ("64 connections: CPU µs an order, postgresql", "≤ 190"),
        ("64 connections: CPU µs a receipt, notifier", "≤ 250"),
        ("8 connections: CPU µs an order, gateway", "≤ 700"),
        ("8 connections: CPU µs a receipt, notifier", "≤ 400"),
        ("8 connections: an order's three requests, p50 ms", "≤ 9.0"),
        ("1 connection: an order's three requests, p50 ms", "≤ 3.3"),
        ("1 connection: p50 of an order ÷ p50 of pgbench's three transactions", "≤ 1.90"),
        ("open loop at half the peak: an order, p99 ms", "≤ 25.0"),
        ("open loop at three times the peak: goodput, share of the peak", "≥ 90%"),
        ("open loop at three times the peak: a refusal, p99 ms", "≤ 30.0"),
        ("orders/s lost to two devices logging in without pause", "≤ 12%"),
        ("an order's p99, moved by a mail server that takes 1 s for a message", "< +5%"),
        ("an order's p99, moved by 1,000 receipts due at once", "< +5%"),
        ("resident memory of the gateway's process after any closed loop, MiB", "≤ 90"),
        ("receipts of completed orders that did not arrive", "≤ 0"),
        ("violations found by the audits after all runs", "≤ 0"),
    ]


@pytest.mark.parametrize(("orders_per_s", "reached"), [(909.0, False), (910.0, True)])
def test_ratio_to_pgbench_is_reached_from_its_bound_on(orders_per_s: float, *, reached: bool) -> None:
    found = judged(record_with_row(64, orders_per_s=orders_per_s, pgbench_per_s=700.0))
    assert found["64 connections: orders/s ÷ pgbench"] == ("≥ 1.30", "1.30", reached)


def test_ratio_is_the_median_of_rounds_and_more_gateways_or_lines_are_not_judged() -> None:
    rounds = [run(rate) for rate in (700.0, 980.0, 1_400.0)]
    found = judged(record(rows=[row(64, *rounds), row(64, run(10.0), gateways=2), row(64, run(10.0), lines=8)]))
    assert found["64 connections: orders/s ÷ pgbench"] == ("≥ 1.30", "1.40", True)


def test_half_the_peak_is_judged_by_the_whole_order() -> None:
    case = short_record().half
    assert case is not None
    requests_quick = tally(latency_ms={"preview": latency(1.0, 2.0), "order": latency(9.0, 25.1)})
    found = judged(record(half=msgspec.structs.replace(case, run=run(tally=requests_quick))))
    assert found["open loop at half the peak: an order, p99 ms"] == ("≤ 25.0", "25.1", False)


def test_mail_goal_compares_each_round_with_its_own_usual_run() -> None:
    usual = [run(p99=20.0), run(p99=40.0), run(p99=80.0)]
    slow = [run(p99=20.8), run(p99=41.0), run(p99=160.0)]  # +4 %, +2.5 %, +100 %
    bursts = [run(p99=21.0), run(p99=42.0), run(p99=84.0)]  # +5 % each
    mail = MailEffect(
        connections=256, lines=3, rate=500.0, slow_s=1.0, burst=1_000, usual=usual, slow=slow, bursts=bursts
    )
    found = judged(record(mail=mail))
    assert found["an order's p99, moved by a mail server that takes 1 s for a message"] == ("< +5%", "+4%", True)
    assert found["an order's p99, moved by 1,000 receipts due at once"] == ("< +5%", "+5%", False)


def test_missing_receipt_and_violation_are_missed_goals() -> None:
    lost = Receipts(due=1_000, arrived=999, repeated=0, waiting=1)
    found = judged(record(rows=[row(1, run(receipts=lost, violations=2))]))
    assert found["receipts of completed orders that did not arrive"] == ("≤ 0", "1", False)
    assert found["violations found by the audits after all runs"] == ("≤ 0", "2", False)


def test_gateway_without_notifier_process_is_not_judged_by_it() -> None:
    without = {name: us for name, us in CPU_US.items() if name != "notifier"}
    receipts = Receipts(due=1, arrived=1, repeated=0, waiting=0)
    found = judged(record(rows=[row(8, run(cpu_us=without, receipts=receipts))]))
    assert "8 connections: CPU µs an order, gateway" in found
    assert not any("notifier" in figure for figure in found)
