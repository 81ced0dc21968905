from __future__ import annotations

from datetime import UTC, datetime, timedelta

from autogrocery.console.core.lanes import LaneEvent, draw

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_events_say_how_long_after_the_one_before_they_came() -> None:
    events = [
        LaneEvent(START, "gateway", "PREVIEWED", "previewed", "device"),
        LaneEvent(START + timedelta(milliseconds=40), "inventory", "assign_robots", "ok", "gateway"),
        LaneEvent(START + timedelta(seconds=3), "gateway", "FAILED", "nothing picked", "inventory", ok=False),
    ]
    shown = draw(events)
    assert ">12:00:00<" in shown
    assert ">+40 ms<" in shown
    assert ">+3.0 s<" in shown
    assert shown.count('class="l-no"') == 1


def test_markup_in_an_event_is_escaped() -> None:
    assert "<b>" not in draw([LaneEvent(START, "robots", "<b>", "<b>")])


def test_order_without_an_event_has_its_lanes() -> None:
    assert draw([]).count('class="l-name"') == 5
