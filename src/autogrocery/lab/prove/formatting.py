"""Text of figures and violations, the same on a terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.prove.measurements import Availability, Quantiles
    from autogrocery.lab.replay.checks import Violation

RECOVERY_GOAL_S: Final = 10.0  # a recovery may take so long after its fault ended, in 99 of 100 cases
AVAILABILITY_GOAL: Final = 0.99
PROVEN_CLAIM: Final = "no oversell, no lost order, no second dispatch, nothing stuck"


def format_violation(violation: Violation) -> str:
    """Return a violation on one line."""
    order = f" · order {violation.order_id}" if violation.order_id else ""
    return f"{violation.promise}{order} · {violation.detail}"


def next_steps(figures: Figures) -> list[str]:
    """Return commands that show the first broken order and repeat the run; nothing if all checks passed."""
    if figures.ok:
        return []
    order_id = next((one.order_id for one in figures.violations if one.order_id), None)
    lines = [f"the network's files are in {figures.home}, its logs in {figures.home}/logs"]
    if order_id is not None:
        lines.append(f"inspect it:  AUTOGROCERY_HOME={figures.home} autogrocery up --ports auto   and beside it")
        lines.append(f"             AUTOGROCERY_HOME={figures.home} autogrocery order show {order_id}")
    return [*lines, f"repeat it:   autogrocery prove --minutes {figures.minutes:g} --seed {figures.seed}"]


def quantile_cells(quantiles: Quantiles | None) -> tuple[str, str, str, str]:
    """Return count, median, 99th percentile and maximum as a table shows them."""
    if quantiles is None:
        return ("0", "", "", "")
    return (str(quantiles.count), f"{quantiles.p50_s:.2f}", f"{quantiles.p99_s:.2f}", f"{quantiles.max_s:.2f}")


def format_availability(measured: Availability) -> str:
    """Return the answered share, and the number of GETs it is a share of."""
    return "none sent" if measured.share is None else f"{measured.share:.2%} of {measured.sent}"
