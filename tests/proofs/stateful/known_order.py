"""An order as its device knows it: which responses may follow those it has received."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from autogrocery.gateway.core.order import EDGES, TERMINAL

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device

ENDS: Final = {status.value for status in TERMINAL}


def _reachable() -> set[tuple[str, str]]:
    """Return every pair of statuses that a path of EDGES connects, and each status with itself."""
    steps = {(start.value, end.value) for (start, _), end in EDGES.items()}
    found = steps | {(status, status) for step in steps for status in step}
    while more := {(a, d) for a, b in found for c, d in steps if b == c} - found:
        found |= more
    return found


REACHABLE: Final = _reachable()
Body = tuple[tuple[tuple[str, int], ...], bool]


class KnownOrder(Struct):
    """One order: the responses that its device has received, and what was done to it."""

    device: Device
    order_id: str
    statuses: list[str] = field(default_factory=list)
    dispatch_promised: bool = False  # a confirm returned 200 or 202 in_doubt
    cancel_sent: bool = False  # a cancel was sent
    overdue: bool = False  # the test has made it overdue
    last_seen: dict[str, Any] | None = None
    webhooks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # sent and answered 200

    def observe(self, order: dict[str, Any]) -> None:
        """Check that a received order may follow the earlier ones, and keep it."""
        status, before = order["status"], self.statuses[-1] if self.statuses else "PREVIEWED"
        assert order["order_id"] == self.order_id
        assert (before, status) in REACHABLE, f"{status} was received after {self.statuses}"
        if before in ENDS and self.last_seen is not None:
            assert order == self.last_seen, "an order has changed after its end"
        _sums(order)
        if status == "EXPIRED":
            assert self.overdue, "it expired before its time"
            assert not self.dispatch_promised, "it expired, and robots were promised"
        if status == "CANCELLED":
            assert self.cancel_sent or not self.dispatch_promised, (
                "it was cancelled, a dispatch was promised and no cancel was sent"
            )
        self.statuses.append(status)
        self.last_seen = order


def _sums(order: dict[str, Any]) -> None:
    status, items = order["status"], order["items"]
    for line in items:
        count = line["quantity"] if line["picked"] is None else line["picked"]
        assert line["line_total_cents"] == line["unit_price_cents"] * count
        assert 0 <= count <= line["quantity"] <= line.get("requested", line["quantity"])
    assert items, "an order of nothing"
    assert order["quoted_total_cents"] == sum(line["unit_price_cents"] * line["quantity"] for line in items)
    assert order["total_cents"] == (0 if status == "FAILED" else sum(line["line_total_cents"] for line in items))
    assert (order["outcome"] is not None) == (status == "COMPLETED")
    assert (order["finished_at"] is not None) == (status in ENDS)
    assert (
        order["dispatch"]
        in {
            "PREVIEWED": (None, "in_doubt", "releasing"),
            "PROCESSING": ("dispatched", "releasing"),
            "COMPLETED": ("dispatched",),
            "FAILED": (None, "dispatched"),
            "CANCELLED": (None,),
            "EXPIRED": (None,),
        }[status]
    )


class IdempotencyKey(Struct):
    """One Idempotency-Key of a device: the bodies sent under it, and its order once known."""

    sent: set[Body] = field(default_factory=set)
    body: Body | None = None
    order_id: str | None = None
