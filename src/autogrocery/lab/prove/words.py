"""How findings are put into words, on a terminal and on a page alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autogrocery.lab.prove.arithmetic import Availability, Spread
    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.replay.verdict import Violation

LATE_S: Final = 10.0  # what a recovery may take, 99 times of 100, after its cause is over
AVAILABLE: Final = 0.99
PROVEN: Final = "no oversell, no lost order, no second dispatch, nothing stuck"


def said(violation: Violation) -> str:
    """Say on one line what did not hold."""
    order = f" · order {violation.order_id}" if violation.order_id else ""
    return f"{violation.promise}{order} · {violation.told}"


def to_look_at(figures: Figures) -> list[str]:
    """Return the commands that show a broken order and repeat the run; nothing if all is well."""
    if figures.ok:
        return []
    order_id = next((one.order_id for one in figures.violations if one.order_id), None)
    lines = [f"what it left is in {figures.home}; its logs are in {figures.home}/logs"]
    if order_id is not None:
        lines.append(f"look at it:  AUTOGROCERY_HOME={figures.home} autogrocery up --ports auto   and beside it")
        lines.append(f"             AUTOGROCERY_HOME={figures.home} autogrocery order show {order_id}")
    return [*lines, f"repeat it:   autogrocery prove --minutes {figures.minutes:g} --seed {figures.seed}"]


def seconds(spread: Spread | None) -> tuple[str, str, str, str]:
    """Return count, median, 99th percentile and maximum as a table shows them."""
    if spread is None:
        return ("0", "", "", "")
    return (str(spread.count), f"{spread.p50_s:.2f}", f"{spread.p99_s:.2f}", f"{spread.max_s:.2f}")


def percent(measured: Availability) -> str:
    """Return a share with what it is a share of."""
    return "nothing asked" if measured.share is None else f"{measured.share:.2%} of {measured.asked}"
