"""The requests of devices, and the check of each response against all earlier ones."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from autogrocery.kit.ids import uuid7
from tests.proofs.stateful.known_order import Body, IdempotencyKey, KnownOrder

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device, Reply
    from tests.proofs.stateful.environment import Environment

SEEN: Counter[str] = Counter()  # how often each kind of response occurred


class Customers:
    """Two devices, their orders as they know them, and their Idempotency-Keys."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.devices: list[Device] = environment.devices(2)
        self.orders: list[KnownOrder] = []
        self.keys: dict[tuple[int, str], IdempotencyKey] = {}
        self.robots_refused = False

    def preview(self, who: int, items: list[tuple[str, int]], *, partial: bool, key: str | None) -> None:
        """Preview a basket; the response must fit the basket and every earlier response under the key."""
        merged: Counter[str] = Counter()
        for sku, n in items:
            merged[sku] += n
        body: Body = tuple(sorted(merged.items())), partial
        known = self.keys.setdefault((who, key or uuid7().hex), IdempotencyKey())
        device = self.devices[who]
        sent = {"items": [{"sku": sku, "quantity": n} for sku, n in items], "allow_partial": partial}
        (reply,) = self.environment.send(
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

    def _previewed(self, device: Device, known: IdempotencyKey, body: Body, reply: Reply) -> None:
        order = reply.json
        assert known.body in (None, body), "the key was accepted with another basket"
        assert known.order_id in (None, order["order_id"]), "the key names two orders"
        known.body, known.order_id = body, order["order_id"]
        (wanted, partial) = body
        for line in order["items"]:
            asked = dict(wanted)[line["sku"]]
            assert line.get("requested", line["quantity"]) == asked
            assert line["quantity"] <= asked if partial else line["quantity"] == asked
        assert partial or len(order["items"]) == len(wanted)
        known_order = next((one for one in self.orders if one.order_id == order["order_id"]), None)
        SEEN["replayed" if reply.headers.get("idempotency-replayed") else "previewed"] += 1
        if known_order is None:
            known_order = KnownOrder(device, order["order_id"])
            self.orders.append(known_order)
        else:
            assert reply.headers["idempotency-replayed"] == "true"
        known_order.observe(order)

    def _not_previewed(self, known: IdempotencyKey, body: Body, others: set[Body], reply: Reply) -> None:
        wanted, partial = body
        SEEN[reply.code] += 1
        assert known.body != body, f"the key named this basket's order before, and now returns {reply.code}"
        match reply.code:
            case "idempotency_mismatch":
                assert others
            case "unknown_sku":
                assert "caviar" in dict(wanted)
            case "insufficient_stock":
                assert {error["sku"] for error in reply.json["errors"]} == {"apple"}
                assert all(
                    error["requested"] == dict(wanted)["apple"] > error["available"] for error in reply.json["errors"]
                )
                assert not partial or len(wanted) == 1
            case code:
                raise AssertionError(code)

    def confirm(self, order: KnownOrder) -> None:
        (reply,) = self.environment.send(order.device.confirm(order.order_id))
        self._confirmed(order, reply)

    def cancel(self, order: KnownOrder) -> None:
        order.cancel_sent = True
        (reply,) = self.environment.send(order.device.cancel(order.order_id))
        self._cancelled(order, reply)

    def confirm_and_cancel(self, order: KnownOrder) -> None:
        order.cancel_sent = True
        self._check_confirm_and_cancel(
            order, self.environment.send(order.device.confirm(order.order_id), order.device.cancel(order.order_id))
        )

    def confirm_while_gateway_is_killed(self, order: KnownOrder) -> None:
        (reply,) = self.environment.send_and_end_gateway(signal.SIGKILL, order.device.confirm(order.order_id))
        self._confirmed(order, reply)

    def _check_confirm_and_cancel(self, order: KnownOrder, replies: list[Reply | None]) -> None:
        """Check two concurrent responses: each must be possible by itself; later responses show the rest."""
        confirmed, cancelled = replies
        if confirmed and confirmed.status in {200, 202} and confirmed.json["dispatch"] != "releasing":
            order.dispatch_promised = True
        for reply in replies:
            assert reply is None or reply.status in {200, 202, 409, 410, 503}
        if confirmed and cancelled and confirmed.status == cancelled.status == 200:
            assert cancelled.json["status"] == "CANCELLED"

    def _confirmed(self, order: KnownOrder, reply: Reply | None) -> None:
        if reply is None or reply.status == 503:
            return
        if reply.status in {200, 202}:
            body = reply.json
            SEEN[f"confirm {reply.status} {body['status']} {body['dispatch']}"] += 1
            order.dispatch_promised = order.dispatch_promised or body["dispatch"] in {"in_doubt", "dispatched"}
            assert (reply.status == 202) == (body["status"] == "PREVIEWED")
            order.observe(body)
            return
        SEEN[f"confirm {reply.code}"] += 1
        match reply.code:
            case "no_robots":
                assert self.robots_refused
                self._check_refused_status(order, "FAILED")
            case "order_cancelled":
                assert order.cancel_sent or not order.dispatch_promised
            case "hold_expired":
                assert order.overdue
            case code:
                raise AssertionError(code)

    def _cancelled(self, order: KnownOrder, reply: Reply | None) -> None:
        if reply is None or reply.status == 503:
            return
        if reply.status in {200, 202}:
            body = reply.json
            SEEN[f"cancel {reply.status}"] += 1
            assert (reply.status == 200) == (body["status"] == "CANCELLED")
            assert reply.status == 200 or body["dispatch"] == "releasing"
            order.observe(body)
            return
        SEEN[f"cancel {reply.code}"] += 1
        if reply.code == "hold_expired":
            assert order.overdue
        else:
            assert reply.code == "too_late_to_cancel"

    def _check_refused_status(self, order: KnownOrder, status: str) -> None:
        """A refusal implies a terminal status: the order must have it already."""
        (reply,) = self.environment.send(order.device.get(f"/api/client/orders/{order.order_id}"))
        if reply is not None and reply.status == 200:
            order.observe(reply.json)
            assert reply.json["status"] == status

    def read_order(self, order: KnownOrder) -> None:
        """The order, its events, the page and the last order must agree."""
        path = f"/api/client/orders/{order.order_id}"
        one, events, page, last = self._get_all(
            order.device, path, f"{path}/events", "/api/client/orders?limit=100", "/api/client/orders/last"
        )
        order.observe(one.json)
        history = events.json["data"]
        assert [event["version"] for event in history] == list(range(1, len(history) + 1))
        assert [None, *(event["to"] for event in history)][:-1] == [event["from"] for event in history]
        mine = {one.order_id: one for one in self.orders if one.device is order.device}
        listed = {row["order_id"]: row for row in page.json["data"]}
        assert mine.keys() <= listed.keys()
        assert last.json["order_id"] == page.json["data"][0]["order_id"]
        for order_id, known_order in mine.items():
            known_order.observe(listed[order_id])

    def _get_all(self, device: Device, *paths: str) -> list[Reply]:
        """Request the paths in turn, so that each response is newer than the one before; each must be 200."""
        answers = []
        for path in paths:
            (reply,) = self.environment.send(device.get(path))
            assert reply is not None
            assert reply.status == 200, reply
            answers.append(reply)
        return answers

    def request_as_another_device(self, order: KnownOrder) -> None:
        """Another device's order must be answered as a missing one, byte for byte."""
        (other,) = self.environment.devices(1)
        missing = str(uuid4())
        for call in (other.confirm, other.cancel, lambda order_id: other.get(f"/api/client/orders/{order_id}")):
            foreign, absent = self.environment.send(call(order.order_id), call(missing))
            if foreign is None or absent is None:
                continue
            assert (foreign.status, absent.status) == (404, 404)
            first, second = (
                reply.body.replace(reply.headers["x-request-id"].encode(), b"") for reply in (foreign, absent)
            )
            assert first == second
