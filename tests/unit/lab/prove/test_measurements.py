from __future__ import annotations

from autogrocery.lab.prove.measurements import Recovery, availability, by_second, fault_spans, quantiles, recoveries
from autogrocery.lab.prove.record import RECOVERY_STEPS, Fault, Probe
from autogrocery.lab.prove.schedule import DATABASE, LINKS, PROCESSES


def kill(target: str, began_s: float, ended_s: float | None) -> Fault:
    return Fault("kill", target, "SIGKILL", began_s, ended_s)


def only(faults: list[Fault], successes: dict[str, list[float]]) -> Recovery:
    return recoveries(faults, successes)[0]


def test_recovery_lasts_from_the_end_of_the_fault_to_the_first_success() -> None:
    found = only([kill("pricing", 10.0, 11.0)], {"preview": [12.5, 10.5, 30.0], "confirm": [11.1]})
    assert (found.step, found.took_s, found.overtaken, found.disturbed) == ("preview", 1.5, False, False)


def test_step_without_later_success_has_no_time_and_is_not_overtaken() -> None:
    found = only([kill("pricing", 10.0, 11.0)], {"preview": [10.9]})
    assert (found.took_s, found.overtaken) == (None, False)


def test_target_broken_again_before_it_recovers_is_overtaken() -> None:
    first, again = kill("inventory", 1.0, 2.0), kill("inventory", 2.5, 4.0)
    assert [(one.took_s, one.overtaken) for one in recoveries([first, again], {"confirm": [5.0]})] == [
        (None, True),
        (1.0, False),
    ]


def test_a_pause_inside_a_kill_is_overtaken_by_it() -> None:
    pause, death = Fault("pause", "robots", "SIGSTOP", 1.0, 3.0), kill("robots", 2.0, 6.0)
    assert recoveries([pause, death], {"complete": [7.0]})[0].overtaken


def test_another_fault_between_end_and_success_disturbs() -> None:
    faults = [kill("pricing", 1.0, 2.0), kill("gateway-1", 2.5, 3.0)]
    assert only(faults, {"preview": [4.0]}).disturbed
    assert not only(faults, {"preview": [2.4]}).disturbed
    assert only([kill("pricing", 1.0, 2.0), kill("inventory", 1.5, None)], {"preview": [2.1]}).disturbed


def test_every_target_shows_its_recovery_by_some_step() -> None:
    assert set(RECOVERY_STEPS) == {*PROCESSES, DATABASE, *LINKS}
    assert all(RECOVERY_STEPS.values())


def test_quantiles_use_nearest_rank_and_skip_missing_times() -> None:
    times = [Recovery("pricing", "kill", "preview", 0.0, float(took)) for took in range(1, 201)]
    overtaken = Recovery("pricing", "kill", "preview", 0.0, None, overtaken=True)
    found = quantiles([*times, overtaken])
    assert found is not None
    assert (found.count, found.p50_s, found.p99_s, found.max_s) == (200, 100.0, 198.0, 200.0)
    assert quantiles([overtaken]) is None


def test_overlapping_spans_are_joined() -> None:
    faults = [
        kill("a", 5.0, 7.0),
        kill("a", 1.0, 2.0),
        kill("b", 6.0, 9.0),
        kill("c", 0.0, 99.0),
        kill("a", 20.0, None),
    ]
    assert fault_spans(faults, "a", "b") == [(1.0, 2.0), (5.0, 9.0), (20.0, float("inf"))]


def test_a_fault_that_began_and_ended_with_the_run_is_a_span() -> None:
    assert fault_spans([kill("a", 0.0, 0.0)], "a") == [(0.0, 0.0)]


def test_availability_counts_only_probes_wholly_outside() -> None:
    probes = [
        Probe(0.0, 0.1, ok=True),
        Probe(0.9, 0.2, ok=False),  # reaches into the span
        Probe(1.5, 0.1, ok=False),
        Probe(1.9, 0.5, ok=False),  # began in it
        Probe(2.1, 0.1, ok=False),
        Probe(3.0, 0.1, ok=True),
    ]
    outside = availability(probes, [(1.0, 2.0)])
    assert (outside.sent, outside.answered, outside.share) == (3, 2, 2 / 3)
    assert availability(probes).share == 2 / 6
    assert availability(probes, [(0.0, 9.0)]).share is None


def test_events_are_counted_in_their_second() -> None:
    assert by_second([0.0, 0.9, 2.0, 2.5, -1.0, 17.0], 3.2) == [2, 0, 2, 0]
