"""Requests, robots, faults of peers and gateways that end, in any order: no response contradicts an earlier one."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from autogrocery.kit.ids import uuid7
from tests.harness import figures
from tests.harness.expected_orders import DISPATCHED_STATES, State
from tests.harness.running_gateway import webhook_body
from tests.proofs.battery.environment import clear_faults
from tests.proofs.stateful.customers import SEEN, Customers
from tests.proofs.stateful.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.proofs.stateful.known_order import KnownOrder

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "0"))
CI_EXAMPLES, STEPS = 40, 50
STOCK: Final = {"milk": 1_000, "bread": 1_000, "apple": 6}
WHICH = st.integers(0, 5)
SKUS = ["milk", "bread", "apple", "milk", "bread", "apple", "milk", "bread", "apple", "caviar"]
BASKETS = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 4)), min_size=1, max_size=4)
REQUESTS = {
    "confirm": Customers.confirm,
    "confirm again": Customers.confirm,
    "cancel": Customers.cancel,
    "both": Customers.confirm_and_cancel,
    "look": Customers.read_order,
    "another device": Customers.request_as_another_device,
}
# Kinds of responses that must occur in every run, and in a long run: without them it proves little.
REQUIRED: Final = {
    "previewed",
    "idempotency_mismatch",
    "insufficient_stock",
    "unknown_sku",
    "confirm 200 PROCESSING dispatched",
    "confirm 202 PREVIEWED in_doubt",
    "confirm no_robots",
    "cancel 202",
    "cancel too_late_to_cancel",
    "ended COMPLETED FULL",
    "ended CANCELLED None",
    "ended EXPIRED None",
    "ended FAILED None",
    "ended PROCESSING None",
}
REQUIRED_IN_LONG_RUNS: Final = {
    "replayed",
    "cancel 200",
    "confirm order_cancelled",
    "ended COMPLETED PARTIAL",
    "gateway killed",
    "gateway killed amid a confirm",
    "gateway stopped",
    "webhook again, changed False",
    "webhook again, changed True",
}
LONG_RUN = 200
STATUSES = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND]
CALLS = ["ReserveItems", "AssignRobots", "AssignRobots", "ReleaseItems", "ReleaseItems", "GetOrder"]


class Conversations(RuleBasedStateMachine):
    """The state machine: two devices, and everything that may happen to their orders."""

    environment: Environment

    def __init__(self) -> None:
        super().__init__()
        self.customers = Customers(self.environment)
        self.stocked = self.environment.set_stock(**STOCK)

    @initialize()
    def create_first_order(self) -> None:
        self.customers.preview(0, [("milk", 2), ("bread", 1)], partial=False, key=None)

    @rule(who=st.integers(0, 1), items=BASKETS, partial=st.booleans(), key=st.sampled_from([None, None, "a", "b"]))
    def preview(self, who: int, items: list[tuple[str, int]], partial: bool, key: str | None) -> None:
        self.customers.preview(who, items, partial=partial, key=key)

    @rule(
        who=st.integers(0, 1),
        many=st.integers(1, 4),
        partial=st.booleans(),
        fault=st.sampled_from(["", "", "lost", "late", "robots"]),
    )
    def preview_and_confirm(self, who: int, many: int, partial: bool, fault: str) -> None:
        """Preview, then confirm; the request to dispatch may be lost, or its reply, or there are no robots."""
        before = len(self.customers.orders)
        self.customers.preview(who, [("apple", many), ("milk", many)], partial=partial, key=None)
        if fault:
            call = "robots" if fault == "robots" else "AssignRobots"
            self.set_fault(call, grpc.StatusCode.UNAVAILABLE, fault == "late")
        for order in self.customers.orders[before:]:
            self.customers.confirm(order)

    @rule(who=st.integers(0, 1), key=st.sampled_from(["a", "b"]))
    def repeat_preview(self, who: int, key: str) -> None:
        known = self.customers.keys.get((who, key))
        if known and known.sent:
            items, partial = min(known.sent)
            self.customers.preview(who, list(items), partial=partial, key=key)

    @rule(which=WHICH, what=st.sampled_from(sorted(REQUESTS)), fault=st.sampled_from(["", "", "lost", "late"]))
    def send_request(self, which: int, what: str, fault: str) -> None:
        """Send a request; the release that it makes may be lost, or its reply."""
        if fault and what in {"cancel", "both"}:
            self.set_fault("ReleaseItems", grpc.StatusCode.UNAVAILABLE, fault == "late")
        if order := self._one(which):
            REQUESTS[what](self.customers, order)

    def _one(self, which: int) -> KnownOrder | None:
        """Return one of the orders, counted from the newest; None without orders."""
        known = self.customers.orders
        return known[-1 - which % len(known)] if known else None

    @rule(which=WHICH, cancels=st.booleans())
    def start_picking(self, which: int, cancels: bool) -> None:
        """Let a robot start; the device may cancel its order at that moment."""
        if order := self._assigned(which):
            self.environment.run_in_loop(
                lambda: (
                    self._has(order) == State.ASSIGNED and self.environment.fake_inventory.started.add(order.order_id)
                )
            )
            if cancels:
                self.customers.cancel(order)

    def _assigned(self, which: int) -> KnownOrder | None:
        """Return one of the orders that are assigned to robots, whether their devices know it or not."""
        found = self.environment.run_in_loop(
            lambda: [one for one in self.customers.orders if self._has(one) == State.ASSIGNED]
        )
        return found[-1 - which % len(found)] if found else None

    def _has(self, order: KnownOrder) -> int:
        return self.environment.fake_inventory.state.get(order.order_id, State.UNKNOWN)

    @rule(which=WHICH, share=st.sampled_from(["all", "some", "none"]), sends_webhook=st.booleans())
    def end_picking(self, which: int, share: str, sends_webhook: bool) -> None:
        """End the picking of an order; inventory sends the webhook or loses it."""
        if not (order := self._assigned(which)):
            return
        fake_inventory = self.environment.fake_inventory

        def finish() -> dict[str, int] | None:
            if self._has(order) != State.ASSIGNED:
                return None
            items = fake_inventory.items[order.order_id]
            some = {sku: n if share == "all" else (n + 1) // 2 if share == "some" else 0 for sku, n in items.items()}
            fake_inventory.finish(order.order_id, some)
            return some

        counts = self.environment.run_in_loop(finish)
        if counts is None:
            return
        order.dispatch_promised = True  # it is dispatched, whether the device knows it or not
        status = "COMPLETED" if any(counts.values()) else "FAILED"
        body = webhook_body(order.order_id, status, items=[{"sku": sku, "picked": n} for sku, n in counts.items()])
        SEEN[f"robots ended: {status} {share}"] += 1
        if sends_webhook:
            self._send_webhook(order, f"msg_{uuid7().hex}", body)

    def _send_webhook(self, order: KnownOrder, webhook_id: str, body: dict[str, Any]) -> None:
        (reply,) = self.environment.send(self.environment.gateway.send_webhook(body, webhook_id=webhook_id))
        if reply is None or reply.status == 503:
            return
        assert reply.status == 200, reply
        assert reply.json["status"] == body["status"]
        order.webhooks.append((webhook_id, body))

    @rule(which=WHICH, changed=st.booleans())
    def repeat_webhook(self, which: int, changed: bool) -> None:
        reported = [order for order in self.customers.orders if order.webhooks]
        if not reported:
            return
        order = reported[-1 - which % len(reported)]
        webhook_id, body = order.webhooks[-1]
        (reply,) = self.environment.send(
            self.environment.gateway.send_webhook(
                body | ({"reason": "another"} if changed else {}), webhook_id=webhook_id
            )
        )
        if reply is None or reply.status == 503:
            return
        SEEN[f"webhook again, changed {changed}"] += 1
        if changed:
            assert (reply.status, reply.code) == (409, "webhook_differs")
        else:
            assert (reply.status, reply.json) == (200, {"applied": False, "status": body["status"]})

    @rule()
    def send_false_webhook(self) -> None:
        (device,) = self.environment.devices(1)
        (made,) = self.environment.send(device.preview(milk=1))
        if made is None or made.status != 201:
            return
        (reply,) = self.environment.send(self.environment.gateway.send_webhook(webhook_body(made.json["order_id"])))
        assert reply is None or reply.status == 503 or (reply.status, reply.code) == (409, "not_dispatched")

    @rule(
        call=st.sampled_from([*CALLS, "Quote", "robots", "calm", "calm"]),
        status=st.sampled_from(STATUSES),
        after=st.booleans(),
    )
    def set_fault(self, call: str, status: grpc.StatusCode, after: bool) -> None:
        actions = self.environment.actions

        def change() -> None:
            clear_faults(actions)
            if call in CALLS:
                actions.fake_inventory.abort_with, actions.fake_inventory.after_effect = {call: status}, after
            elif call == "Quote":
                actions.fake_pricing.abort_with = status
            actions.fake_inventory.refuse_robots = call == "robots"

        self.customers.robots_refused |= call == "robots"
        self.environment.run_in_loop(change)

    @rule(which=WHICH)
    def expire(self, which: int) -> None:
        if order := self._one(which):
            order.overdue = True
            self.environment.expire(UUID(order.order_id))

    @rule(how=st.sampled_from(["killed", "killed amid a confirm", "stopped"]), seldom=st.integers(0, 5), which=WHICH)
    def end_gateway(self, how: str, seldom: int, which: int) -> None:
        order = self._one(which)
        if seldom or not order:
            return
        SEEN[f"gateway {how}"] += 1
        if how == "killed amid a confirm":
            self.customers.confirm_while_gateway_is_killed(order)
        else:
            self.environment.replace_gateway(signal.SIGKILL if how == "killed" else signal.SIGTERM)

    @invariant()
    def check_stock_and_dispatches(self) -> None:
        assert self.environment.unaccounted_stock(self.stocked) == {}
        assert (
            self.environment.run_in_loop(
                lambda: [oid for oid, n in self.environment.fake_inventory.dispatches.items() if n not in (0, 1)]
            )
            == []
        )

    def teardown(self) -> None:
        """Settle all orders: each must fit its device's last response and inventory, and the audit must be clean."""
        ids = [UUID(order.order_id) for order in self.customers.orders]
        for order in self.customers.orders:
            order.overdue = True
        assert self.environment.settle_all(ids) == {}
        for order in self.customers.orders:
            (reply,) = self.environment.send(order.device.get(f"/api/client/orders/{order.order_id}"))
            assert reply is not None
            assert reply.status == 200
            order.observe(reply.json)
            SEEN[f"ended {order.statuses[-1]} {reply.json['outcome']}"] += 1
            taken = self.environment.run_in_loop(lambda order=order: self._has(order) in DISPATCHED_STATES)
            assert not taken or order.statuses[-1] in {"PROCESSING", "COMPLETED", "FAILED"}
        (audit,) = self.environment.send(self.environment.gateway.request("GET", "/internal/audit", inside=True))
        assert audit is not None
        assert audit.json["clean"], [one for one in audit.json["invariants"] if one["violations"]]


@pytest.fixture
def environment(gateway_dsn: str, tmp_path: Path) -> Iterator[Environment]:
    opened = Environment(gateway_dsn, tmp_path)
    try:
        yield opened
    finally:
        opened.stop()
    assert opened.gateways.errors() == []


@pytest.mark.timeout(120 if not EXAMPLES else 60 + 10 * EXAMPLES)
def test_no_response_contradicts_an_earlier_one(environment: Environment) -> None:
    SEEN.clear()
    machine: Callable[[], Conversations] = type("Conversations", (Conversations,), {"environment": environment})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES or CI_EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=True,
            phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        ),
    )
    assert (REQUIRED | REQUIRED_IN_LONG_RUNS if EXAMPLES >= LONG_RUN else REQUIRED) - SEEN.keys() == set()
    figures.record(conversations=EXAMPLES or CI_EXAMPLES, answers=SEEN.total())
    sys.stdout.write("".join(f"{n:6} {what}\n" for what, n in sorted(SEEN.items())))
