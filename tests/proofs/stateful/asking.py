"""What devices ask, and what each answer must be for all the answers before it to stay true."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from autogrocery.kit.process.clock import uuid7
from tests.proofs.stateful.beliefs import Belief, Body, Key

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device, Reply
    from tests.proofs.stateful.mart import Mart

SEEN: Counter[str] = Counter()  # which answers came up at all


class Customers:
    """Two devices, their orders as they know them, and their Idempotency-Keys."""

    def __init__(self, mart: Mart) -> None:
        self.mart = mart
        self.devices: list[Device] = mart.devices(2)
        self.orders: list[Belief] = []
        self.keys: dict[tuple[int, str], Key] = {}
        self.robots_refused = False

    def preview(self, who: int, items: list[tuple[str, int]], *, partial: bool, key: str | None) -> None:
        """Ask for a basket; the answer must fit the basket, and all that was said under the key before."""
        merged: Counter[str] = Counter()
        for sku, n in items:
            merged[sku] += n
        body: Body = tuple(sorted(merged.items())), partial
        known = self.keys.setdefault((who, key or uuid7().hex), Key())
        device = self.devices[who]
        sent = {"items": [{"sku": sku, "quantity": n} for sku, n in items], "allow_partial": partial}
        (reply,) = self.mart.ask(
            device.post("/api/client/order/preview", sent, headers={"idempotency-key": key} if key else {})
        )
        others = known.sent - {body}
        known.sent.add(body)
        if reply is None or reply.status == 503:
            return
        if reply.status == 201:
            self._previewed(device, known, body, reply)
        else:
            self._not_previewed(known, body, others, reply)

    def _previewed(self, device: Device, known: Key, body: Body, reply: Reply) -> None:
        order = reply.json
        assert known.body in (None, body), "another basket under the same key"
        assert known.order_id in (None, order["order_id"]), "the key names two orders"
        known.body, known.order_id = body, order["order_id"]
        (wanted, partial) = body
        for line in order["items"]:
            asked = dict(wanted)[line["sku"]]
            assert line.get("requested", line["quantity"]) == asked
            assert line["quantity"] <= asked if partial else line["quantity"] == asked
        assert partial or len(order["items"]) == len(wanted)
        belief = next((one for one in self.orders if one.order_id == order["order_id"]), None)
        SEEN["replayed" if reply.headers.get("idempotency-replayed") else "previewed"] += 1
        if belief is None:
            belief = Belief(device, order["order_id"])
            self.orders.append(belief)
        else:
            assert reply.headers["idempotency-replayed"] == "true"
        belief.hear(order)

    def _not_previewed(self, known: Key, body: Body, others: set[Body], reply: Reply) -> None:
        wanted, partial = body
        SEEN[reply.code] += 1
        assert known.body != body, f"the key named this basket's order before, and now says {reply.code}"
        match reply.code:
            case "idempotency_mismatch":
                assert others
            case "unknown_sku":
                assert "caviar" in dict(wanted)
            case "insufficient_stock":
                assert {flaw["sku"] for flaw in reply.json["errors"]} == {"apple"}
                assert all(
                    flaw["requested"] == dict(wanted)["apple"] > flaw["available"] for flaw in reply.json["errors"]
                )
                assert not partial or len(wanted) == 1
            case code:
                raise AssertionError(code)

    def confirm(self, order: Belief) -> None:
        (reply,) = self.mart.ask(order.device.confirm(order.order_id))
        self._confirmed(order, reply)

    def cancel(self, order: Belief) -> None:
        order.cancelling = True
        (reply,) = self.mart.ask(order.device.cancel(order.order_id))
        self._cancelled(order, reply)

    def confirm_and_cancel(self, order: Belief) -> None:
        order.cancelling = True
        self._both(order, self.mart.ask(order.device.confirm(order.order_id), order.device.cancel(order.order_id)))

    def confirm_while_the_gateway_dies(self, order: Belief) -> None:
        (reply,) = self.mart.ask_while(signal.SIGKILL, order.device.confirm(order.order_id))
        self._confirmed(order, reply)

    def _both(self, order: Belief, told: list[Reply | None]) -> None:
        """Two answers whose order nobody knows: each must be believable by itself, and what follows shows the rest."""
        confirmed, cancelled = told
        if confirmed and confirmed.status in {200, 202} and confirmed.json["dispatch"] != "releasing":
            order.promised = True
        for reply in told:
            assert reply is None or reply.status in {200, 202, 409, 410, 503}
        if confirmed and cancelled and confirmed.status == cancelled.status == 200:
            assert cancelled.json["status"] == "CANCELLED"

    def _confirmed(self, order: Belief, reply: Reply | None) -> None:
        if reply is None or reply.status == 503:
            return
        if reply.status in {200, 202}:
            told = reply.json
            SEEN[f"confirm {reply.status} {told['status']} {told['dispatch']}"] += 1
            order.promised = order.promised or told["dispatch"] in {"in_doubt", "dispatched"}
            assert (reply.status == 202) == (told["status"] == "PREVIEWED")
            order.hear(told)
            return
        SEEN[f"confirm {reply.code}"] += 1
        match reply.code:
            case "no_robots":
                assert self.robots_refused
                self._ends(order, "FAILED")
            case "order_cancelled":
                assert order.cancelling or not order.promised
            case "hold_expired":
                assert order.overdue
            case code:
                raise AssertionError(code)

    def _cancelled(self, order: Belief, reply: Reply | None) -> None:
        if reply is None or reply.status == 503:
            return
        if reply.status in {200, 202}:
            told = reply.json
            SEEN[f"cancel {reply.status}"] += 1
            assert (reply.status == 200) == (told["status"] == "CANCELLED")
            assert reply.status == 200 or told["dispatch"] == "releasing"
            order.hear(told)
            return
        SEEN[f"cancel {reply.code}"] += 1
        if reply.code == "hold_expired":
            assert order.overdue
        else:
            assert reply.code == "too_late_to_cancel"

    def _ends(self, order: Belief, status: str) -> None:
        """A refusal has told a terminal word: the order must have it already."""
        (reply,) = self.mart.ask(order.device.get(f"/api/client/orders/{order.order_id}"))
        if reply is not None and reply.status == 200:
            order.hear(reply.json)
            assert reply.json["status"] == status

    def look(self, order: Belief) -> None:
        """Every way of looking tells the same life."""
        path = f"/api/client/orders/{order.order_id}"
        one, events, page, last = self._all(
            order.device, path, f"{path}/events", "/api/client/orders?limit=100", "/api/client/orders/last"
        )
        order.hear(one.json)
        history = events.json["data"]
        assert [event["version"] for event in history] == list(range(1, len(history) + 1))
        assert [None, *(event["to"] for event in history)][:-1] == [event["from"] for event in history]
        mine = {one.order_id: one for one in self.orders if one.device is order.device}
        listed = {row["order_id"]: row for row in page.json["data"]}
        assert mine.keys() <= listed.keys()
        assert last.json["order_id"] == page.json["data"][0]["order_id"]
        for order_id, belief in mine.items():
            belief.hear(listed[order_id])

    def _all(self, device: Device, *paths: str) -> list[Reply]:
        """Ask one after the other, so that each answer is newer than the one before; nothing may be missing or late."""
        answers = []
        for path in paths:
            (reply,) = self.mart.ask(device.get(path))
            assert reply is not None
            assert reply.status == 200, reply
            answers.append(reply)
        return answers

    def ask_as_another_device(self, order: Belief) -> None:
        """A foreign order is a missing one, to the byte."""
        (other,) = self.mart.devices(1)
        missing = str(uuid4())
        for ask in (other.confirm, other.cancel, lambda order_id: other.get(f"/api/client/orders/{order_id}")):
            there, nowhere = self.mart.ask(ask(order.order_id), ask(missing))
            if there is None or nowhere is None:
                continue
            assert (there.status, nowhere.status) == (404, 404)
            first, second = (
                reply.body.replace(reply.headers["x-request-id"].encode(), b"") for reply in (there, nowhere)
            )
            assert first == second
