"""What a device may believe: from what it was told it follows what it may be told later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from autogrocery.gateway.core.order import EDGES, TERMINAL

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device

ENDS: Final = {status.value for status in TERMINAL}


def _reachable() -> set[tuple[str, str]]:
    """Every pair of statuses with a path of EDGES from one to the other, none of a status and itself left out."""
    steps = {(start.value, end.value) for (start, _), end in EDGES.items()}
    found = steps | {(status, status) for step in steps for status in step}
    while more := {(a, d) for a, b in found for c, d in steps if b == c} - found:
        found |= more
    return found


REACHABLE: Final = _reachable()
Body = tuple[tuple[tuple[str, int], ...], bool]


class Belief(Struct):
    """One order, as its device knows it, and what has been done to it."""

    device: Device
    order_id: str
    told: list[str] = field(default_factory=list)
    promised: bool = False  # a confirm was answered 200 or 202 in_doubt
    cancelling: bool = False  # a cancel was sent
    overdue: bool = False  # its time has been made to pass
    last: dict[str, Any] | None = None
    webhooks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # delivered, and answered 200

    def hear(self, order: dict[str, Any]) -> None:
        """Take in an order that was told; it must follow from what was told before."""
        status, before = order["status"], self.told[-1] if self.told else "PREVIEWED"
        assert order["order_id"] == self.order_id
        assert (before, status) in REACHABLE, f"{status} was told after {self.told}"
        if before in ENDS and self.last is not None:
            assert order == self.last, "an order has changed after its end"
        _sums(order)
        if status == "EXPIRED":
            assert self.overdue, "it expired before its time"
            assert not self.promised, "it expired, and robots were promised"
        if status == "CANCELLED":
            assert self.cancelling or not self.promised, (
                "it was cancelled, robots were promised and nobody asked for it"
            )
        self.told.append(status)
        self.last = order


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


class Key(Struct):
    """One Idempotency-Key of one device: what was sent under it, and which order it names once that is known."""

    sent: set[Body] = field(default_factory=set)
    body: Body | None = None
    order_id: str | None = None
