"""Devices, robots, weather and dying gateways in any order: nobody is ever told what turns out untrue."""

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

from autogrocery.kit.process.clock import uuid7
from tests.harness import figures
from tests.harness.order_truth import TAKEN, State
from tests.harness.running_gateway import picked
from tests.proofs.battery.stage import calm
from tests.proofs.stateful.asking import SEEN, Customers
from tests.proofs.stateful.mart import Mart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.proofs.stateful.beliefs import Belief

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "0"))
CI_EXAMPLES, STEPS = 40, 50
SHELF: Final = {"milk": 1_000, "bread": 1_000, "apple": 6}
WHICH = st.integers(0, 5)
SKUS = ["milk", "bread", "apple", "milk", "bread", "apple", "milk", "bread", "apple", "caviar"]
BASKETS = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 4)), min_size=1, max_size=4)
ASKED = {
    "confirm": Customers.confirm,
    "confirm again": Customers.confirm,
    "cancel": Customers.cancel,
    "both": Customers.confirm_and_cancel,
    "look": Customers.look,
    "another device": Customers.ask_as_another_device,
}
# What must have come up in a run, or it has shown nothing; and in a long one.
OFTEN: Final = {
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
SOMETIMES: Final = {
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
LONG = 200
STATUSES = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND]
CALLS = ["ReserveItems", "AssignRobots", "AssignRobots", "ReleaseItems", "ReleaseItems", "GetOrder"]


class Devices(RuleBasedStateMachine):
    """Two devices of one mart, and everything that may happen to their orders."""

    mart: Mart

    def __init__(self) -> None:
        super().__init__()
        self.customers = Customers(self.mart)
        self.filled = self.mart.fill(**SHELF)

    @initialize()
    def one_order_to_begin_with(self) -> None:
        self.customers.preview(0, [("milk", 2), ("bread", 1)], partial=False, key=None)

    @rule(who=st.integers(0, 1), items=BASKETS, partial=st.booleans(), key=st.sampled_from([None, None, "a", "b"]))
    def a_device_previews(self, who: int, items: list[tuple[str, int]], partial: bool, key: str | None) -> None:
        self.customers.preview(who, items, partial=partial, key=key)

    @rule(
        who=st.integers(0, 1),
        many=st.integers(1, 4),
        partial=st.booleans(),
        weather=st.sampled_from(["", "", "lost", "late", "robots"]),
    )
    def a_device_orders(self, who: int, many: int, partial: bool, weather: str) -> None:
        """As most do: preview, then confirm; the dispatch may be lost, or its answer, or there are no robots."""
        before = len(self.customers.orders)
        self.customers.preview(who, [("apple", many), ("milk", many)], partial=partial, key=None)
        if weather:
            call = "robots" if weather == "robots" else "AssignRobots"
            self.the_weather_changes(call, grpc.StatusCode.UNAVAILABLE, weather == "late")
        for order in self.customers.orders[before:]:
            self.customers.confirm(order)

    @rule(who=st.integers(0, 1), key=st.sampled_from(["a", "b"]))
    def a_device_previews_again(self, who: int, key: str) -> None:
        known = self.customers.keys.get((who, key))
        if known and known.sent:
            items, partial = min(known.sent)
            self.customers.preview(who, list(items), partial=partial, key=key)

    @rule(which=WHICH, what=st.sampled_from(sorted(ASKED)), weather=st.sampled_from(["", "", "lost", "late"]))
    def a_device_asks(self, which: int, what: str, weather: str) -> None:
        """A release may be lost, or its answer."""
        if weather and what in {"cancel", "both"}:
            self.the_weather_changes("ReleaseItems", grpc.StatusCode.UNAVAILABLE, weather == "late")
        if order := self._one(which):
            ASKED[what](self.customers, order)

    def _one(self, which: int) -> Belief | None:
        """One of the orders, the newest first."""
        known = self.customers.orders
        return known[-1 - which % len(known)] if known else None

    @rule(which=WHICH, regretted=st.booleans())
    def robots_begin(self, which: int, regretted: bool) -> None:
        """A device may regret its order just then."""
        if order := self._assigned(which):
            self.mart.see(lambda: self._has(order) == State.ASSIGNED and self.mart.shelf.started.add(order.order_id))
            if regretted:
                self.customers.cancel(order)

    def _assigned(self, which: int) -> Belief | None:
        """One of the orders that robots have, whatever their devices know of it."""
        found = self.mart.see(lambda: [one for one in self.customers.orders if self._has(one) == State.ASSIGNED])
        return found[-1 - which % len(found)] if found else None

    def _has(self, order: Belief) -> int:
        return self.mart.shelf.state.get(order.order_id, State.UNKNOWN)

    @rule(which=WHICH, share=st.sampled_from(["all", "some", "none"]), told=st.booleans())
    def robots_end(self, which: int, share: str, told: bool) -> None:
        """Inventory is done with an order, and tells the gateway or does not."""
        if not (order := self._assigned(which)):
            return
        shelf = self.mart.shelf

        def finish() -> dict[str, int] | None:
            if self._has(order) != State.ASSIGNED:
                return None
            items = shelf.items[order.order_id]
            some = {sku: n if share == "all" else (n + 1) // 2 if share == "some" else 0 for sku, n in items.items()}
            shelf.finish(order.order_id, some)
            return some

        counts = self.mart.see(finish)
        if counts is None:
            return
        order.promised = True  # robots have it, whoever knows
        status = "COMPLETED" if any(counts.values()) else "FAILED"
        body = picked(order.order_id, status, items=[{"sku": sku, "picked": n} for sku, n in counts.items()])
        SEEN[f"robots ended: {status} {share}"] += 1
        if told:
            self._deliver(order, f"msg_{uuid7().hex}", body)

    def _deliver(self, order: Belief, webhook_id: str, body: dict[str, Any]) -> None:
        (reply,) = self.mart.ask(self.mart.shop.deliver(body, webhook_id=webhook_id))
        if reply is None or reply.status == 503:
            return
        assert reply.status == 200, reply
        assert reply.json["status"] == body["status"]
        order.webhooks.append((webhook_id, body))

    @rule(which=WHICH, changed=st.booleans())
    def a_webhook_comes_again(self, which: int, changed: bool) -> None:
        told = [order for order in self.customers.orders if order.webhooks]
        if not told:
            return
        order = told[-1 - which % len(told)]
        webhook_id, body = order.webhooks[-1]
        (reply,) = self.mart.ask(
            self.mart.shop.deliver(body | ({"reason": "another"} if changed else {}), webhook_id=webhook_id)
        )
        if reply is None or reply.status == 503:
            return
        SEEN[f"webhook again, changed {changed}"] += 1
        if changed:
            assert (reply.status, reply.code) == (409, "webhook_differs")
        else:
            assert (reply.status, reply.json) == (200, {"applied": False, "status": body["status"]})

    @rule()
    def a_false_webhook_for_a_quote(self) -> None:
        (device,) = self.mart.devices(1)
        (made,) = self.mart.ask(device.preview(milk=1))
        if made is None or made.status != 201:
            return
        (reply,) = self.mart.ask(self.mart.shop.deliver(picked(made.json["order_id"])))
        assert reply is None or reply.status == 503 or (reply.status, reply.code) == (409, "not_dispatched")

    @rule(
        call=st.sampled_from([*CALLS, "Quote", "robots", "calm", "calm"]),
        status=st.sampled_from(STATUSES),
        after=st.booleans(),
    )
    def the_weather_changes(self, call: str, status: grpc.StatusCode, after: bool) -> None:
        house = self.mart.house

        def change() -> None:
            calm(house)
            if call in CALLS:
                house.shelf.trouble, house.shelf.after_effect = {call: status}, after
            elif call == "Quote":
                house.prices.trouble = status
            house.shelf.refuse_robots = call == "robots"

        self.customers.robots_refused |= call == "robots"
        self.mart.see(change)

    @rule(which=WHICH)
    def time_passes(self, which: int) -> None:
        if order := self._one(which):
            order.overdue = True
            self.mart.time_passes(UUID(order.order_id))

    @rule(how=st.sampled_from(["killed", "killed amid a confirm", "stopped"]), seldom=st.integers(0, 5), which=WHICH)
    def the_gateway_ends(self, how: str, seldom: int, which: int) -> None:
        order = self._one(which)
        if seldom or not order:
            return
        SEEN[f"gateway {how}"] += 1
        if how == "killed amid a confirm":
            self.customers.confirm_while_the_gateway_dies(order)
        else:
            self.mart.replace_gateway(signal.SIGKILL if how == "killed" else signal.SIGTERM)

    @invariant()
    def nothing_is_lost_made_or_dispatched_twice(self) -> None:
        assert self.mart.strayed(self.filled) == {}
        assert self.mart.see(lambda: [oid for oid, n in self.mart.shelf.dispatches.items() if n not in (0, 1)]) == []

    def teardown(self) -> None:
        """Heal, wait until all is done; then every order is as it was told, and as inventory has it."""
        ids = [UUID(order.order_id) for order in self.customers.orders]
        for order in self.customers.orders:
            order.overdue = True
        assert self.mart.heal(ids) == {}
        for order in self.customers.orders:
            (reply,) = self.mart.ask(order.device.get(f"/api/client/orders/{order.order_id}"))
            assert reply is not None
            assert reply.status == 200
            order.hear(reply.json)
            SEEN[f"ended {order.told[-1]} {reply.json['outcome']}"] += 1
            taken = self.mart.see(lambda order=order: self._has(order) in TAKEN)
            assert not taken or order.told[-1] in {"PROCESSING", "COMPLETED", "FAILED"}
        (audit,) = self.mart.ask(self.mart.shop.ask("GET", "/internal/audit", inside=True))
        assert audit is not None
        assert audit.json["clean"], [one for one in audit.json["invariants"] if one["violations"]]


@pytest.fixture
def mart(gateway_dsn: str, tmp_path: Path) -> Iterator[Mart]:
    opened = Mart(gateway_dsn, tmp_path)
    try:
        yield opened
    finally:
        opened.stop()
    assert opened.gateways.errors() == []


@pytest.mark.timeout(120 if not EXAMPLES else 60 + 10 * EXAMPLES)
def test_nobody_is_told_what_turns_out_untrue(mart: Mart) -> None:
    SEEN.clear()
    machine: Callable[[], Devices] = type("Devices", (Devices,), {"mart": mart})
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
    assert (OFTEN | SOMETIMES if EXAMPLES >= LONG else OFTEN) - SEEN.keys() == set()
    figures.tell(conversations=EXAMPLES or CI_EXAMPLES, answers=SEEN.total())
    sys.stdout.write("".join(f"{n:6} {what}\n" for what, n in sorted(SEEN.items())))
