"""Shoppers: each has a connection of its own, and walks through orders: preview, confirm, and the webhook that ends them.

The webhook, which inventory sends in the real network, is the shopper's third request here: so N connections have N orders
in flight, as N clients of pgbench have, and no webhook overtakes its own confirm as one sent by an instant robot would.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
import time
from array import array
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from bench.job import CONFIRM, KINDS, PREVIEW, WEBHOOK
from bench.wire import post

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.job import Job
    from bench.wire import Wire

PREVIEW_PATH, CONFIRM_PATH, WEBHOOK_PATH = (
    "/api/client/order/preview",
    "/api/client/order/confirm",
    "/internal/webhook/update-order",
)
WEBHOOK_REQUEST = (
    b"POST "
    + WEBHOOK_PATH.encode()
    + b" HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nwebhook-id: %s\r\n"
    b"webhook-timestamp: %s\r\nwebhook-signature: v1,%s\r\ncontent-length: %d\r\n\r\n%s"
)
SUCCESS = {PREVIEW: 201, CONFIRM: 200, WEBHOOK: 200}
BUSY = frozenset({429, 503})
MOST_TRIES = 5
ORDER_ID = b'"order_id":"'
UUID_CHARACTERS = 36


class Figures:
    """What all shoppers saw; seconds are kept only while `measuring`."""

    def __init__(self) -> None:
        self.measuring = False
        self.orders = 0
        self.all_orders = 0
        self.begun = 0
        self.logins = 0
        self.took_s = {kind: array("d") for kind in (*KINDS, "order")}
        self.refused_s = array("d")
        self.other: Counter[str] = Counter()
        self.most_orders: int | None = None
        self.enough = asyncio.Event()

    def finished(self, took_s: float) -> None:
        """Count an order that was completed after requests of `took_s` seconds in all."""
        self.all_orders += 1
        if self.measuring:
            self.orders += 1
            self.took_s["order"].append(took_s)
        if self.most_orders is not None and self.orders >= self.most_orders:
            self.enough.set()


class Requests:
    """Whole requests, made in advance as far as they can be; each order is another device's."""

    def __init__(self, job: Job) -> None:
        bearers = [("authorization", f"Bearer {token}") for token in job.tokens]
        bodies = [
            msgspec.json.encode({"items": [{"sku": sku, "quantity": count} for sku, count in basket]})
            for basket in job.baskets
        ]
        self._previews = [post(PREVIEW_PATH, bodies[at % len(bodies)], bearer) for at, bearer in enumerate(bearers)]
        marked = b'{"order_id":"%s"}' % (b"0" * UUID_CHARACTERS)
        self._confirms = [post(CONFIRM_PATH, marked, bearer)[: -UUID_CHARACTERS - 2] for bearer in bearers]
        self._key = job.webhook_key
        self._turn = 0
        self._second = 0
        self._occurred_at = b""

    def next_device(self) -> int:
        """Return the device whose turn it is."""
        self._turn = (self._turn + 1) % len(self._previews)
        return self._turn

    def preview(self, device: int) -> bytes:
        """Return the device's preview: always of the same basket."""
        return self._previews[device]

    def confirm(self, device: int, order_id: bytes) -> bytes:
        """Return the confirm of an order of the device's."""
        return self._confirms[device] + order_id + b'"}'

    def webhook(self, order_id: bytes) -> bytes:
        """Return inventory's signed word that the order was picked whole."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._occurred_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)).encode()
        body = b'{"order_id":"%s","status":"COMPLETED","occurred_at":"%s"}' % (order_id, self._occurred_at)
        webhook_id, stamp = b"msg_" + order_id, b"%d" % second
        signed = base64.b64encode(hmac.digest(self._key, b"%s.%s.%s" % (webhook_id, stamp, body), hashlib.sha256))
        return WEBHOOK_REQUEST % (webhook_id, stamp, signed, len(body), body)


class Shopper:
    """One connection's walk through orders; `idle(self, pause_s)` is called when it may begin the next one."""

    def __init__(
        self,
        figures: Figures,
        requests: Requests,
        public: Wire,
        internal: Wire | None,
        idle: Callable[[Shopper, float], None],
    ) -> None:
        """Walk over `public`; `internal` is where the webhook goes, None if somebody else delivers it."""
        self._figures = figures
        self._requests = requests
        self._public = public
        self._internal = internal
        self._idle = idle
        self._device = 0
        self._order_id = b""
        self._due = self._sent = self._took_s = 0.0
        self._tries = 0

    def begin(self, due: float) -> None:
        """Begin an order that was due at `due`; what it waited since counts as its preview's time."""
        self._figures.begun += 1
        self._due, self._sent, self._took_s, self._tries = due, time.perf_counter(), 0.0, 0
        self._device = self._requests.next_device()
        self._public.ask(self._requests.preview(self._device), self._previewed)

    def _previewed(self, status: int, body: bytes, retry_after_s: float) -> None:
        if not self._noted(PREVIEW, status):
            self._idle(self, retry_after_s)
            return
        at = body.index(ORDER_ID) + len(ORDER_ID)
        self._order_id = body[at : at + UUID_CHARACTERS]
        self._tries = 0
        self._due = time.perf_counter()
        self._confirm()

    def _confirm(self) -> None:
        self._sent = time.perf_counter()
        self._public.ask(self._requests.confirm(self._device, self._order_id), self._confirmed)

    def _confirmed(self, status: int, _body: bytes, retry_after_s: float) -> None:
        if not self._noted(CONFIRM, status):
            self._again(self._confirm, status, retry_after_s)
        elif self._internal is None:
            self._finish()
        else:
            self._tries = 0
            self._due = time.perf_counter()
            self._deliver()

    def _deliver(self) -> None:
        assert self._internal is not None
        self._sent = time.perf_counter()
        self._internal.ask(self._requests.webhook(self._order_id), self._delivered)

    def _delivered(self, status: int, _body: bytes, retry_after_s: float) -> None:
        if self._noted(WEBHOOK, status):
            self._finish()
        else:
            self._again(self._deliver, status, retry_after_s)

    def _finish(self) -> None:
        self._figures.finished(self._took_s)
        self._idle(self, 0.0)

    def _again(self, ask: Callable[[], None], status: int, retry_after_s: float) -> None:
        """Ask again when the gateway says so, some times; else leave the order to the gateway's own loops."""
        self._tries += 1
        if status in BUSY and self._tries < MOST_TRIES:
            asyncio.get_running_loop().call_later(retry_after_s * random.uniform(1.0, 1.5), ask)  # noqa: S311 - jitter
        else:
            self._figures.other["given up"] += 1
            self._idle(self, 0.0)

    def _noted(self, kind: str, status: int) -> bool:
        """Note an answer; True if it was a success. A success counts from when it was due, a refusal from when it was asked."""
        now, figures = time.perf_counter(), self._figures
        if status == SUCCESS[kind]:
            took_s = now - self._due
            self._took_s += took_s
            if figures.measuring:
                figures.took_s[kind].append(took_s)
            return True
        if figures.measuring:
            figures.other[f"{kind} {status}"] += 1
            if status in BUSY:
                figures.refused_s.append(now - self._sent)
        return False
