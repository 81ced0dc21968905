"""View the report of a period: the writer answers, because an embedded store has one process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from autogrocery.analytics.core.epochs import count_missing
from autogrocery.analytics.core.report import DAY_S, HOUR_S, MAX_DAYS, WEEK_S, Period, Report
from autogrocery.analytics.store.report import read_report
from autogrocery.kit.errors import FieldError, Invalid, Unavailable

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.store.backlog import Backlog

MAX_STEPS: Final = 1_000


class ReportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A period in Unix seconds, cut into steps of `step` seconds; without `store_id` of all marts."""

    since: Annotated[int, Meta(ge=WEEK_S, le=1 << 32)]
    until: Annotated[int, Meta(ge=WEEK_S, le=1 << 32)]
    step: Annotated[int, Meta(ge=60, le=WEEK_S)] = HOUR_S
    store_id: Annotated[str, Meta(max_length=64)] = ""


async def view_report(backlog: Backlog | None, counters: Counters, query: ReportQuery) -> Report:
    """Return the figures of a period of up to MAX_DAYS days.

    Raises Invalid(invalid_request) for an empty or too long period, and Unavailable, as without a store.
    """
    length_s = query.until - query.since
    if not 0 < length_s <= MAX_DAYS * DAY_S or length_s > MAX_STEPS * query.step:
        flaw = FieldError(pointer="/until", detail=f"at most {MAX_DAYS} days and {MAX_STEPS} steps after since")
        raise Invalid("invalid_request", "the period can't be taken", errors=(flaw,))
    if backlog is None:
        raise Unavailable("store_unavailable", "facts are not stored")
    period = Period(query.since, query.until, query.step, query.store_id)
    report = await read_report(backlog.store.engine, period)
    return msgspec.structs.replace(report, gaps_open=count_missing(counters.epochs.values(), time.monotonic()))
