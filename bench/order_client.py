"""The clients of the load generator: each sends preview, confirm and webhook of one order after the other.

Inventory sends the webhook in the real network. Here it is the client's third request, so that N connections have N
orders in flight, as N clients of pgbench have, and a webhook never overtakes the confirm of its own order.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import time
from array import array
from binascii import b2a_base64
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from bench.http_connection import post
from bench.job import CONFIRM, KINDS, PREVIEW, WEBHOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.http_connection import HttpConnection
    from bench.job import Job

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
MAX_TRIES = 5
ORDER_ID = b'"order_id":"'
UUID_CHARACTERS = 36


class LoadCounters:
    """Counts and durations of all clients; durations and failures are recorded only while `measuring`."""

    def __init__(self) -> None:
        self.measuring = False
        self.orders = 0
        self.all_orders = 0
        self.begun = 0
        self.logins = 0
        self.took_s = {kind: array("d") for kind in (*KINDS, "order")}
        self.refused_s = array("d")
        self.failures: Counter[str] = Counter()
        self.order_limit: int | None = None
        self.order_limit_reached = asyncio.Event()

    def finished(self, took_s: float) -> None:
        """Count a completed order whose requests took `took_s` seconds in all."""
        self.all_orders += 1
        if self.measuring:
            self.orders += 1
            self.took_s["order"].append(took_s)
        if self.order_limit is not None and self.orders >= self.order_limit:
            self.order_limit_reached.set()


class Requests:
    """Builds requests, from parts that are encoded in advance; devices take turns."""

    def __init__(self, job: Job) -> None:
        bearers = [("authorization", f"Bearer {token}") for token in job.tokens]
        bodies = [
            msgspec.json.encode({"items": [{"sku": sku, "quantity": count} for sku, count in basket]})
            for basket in job.baskets
        ]
        self._previews = [post(PREVIEW_PATH, bodies[at % len(bodies)], bearer) for at, bearer in enumerate(bearers)]
        template = b'{"order_id":"%s"}' % (b"0" * UUID_CHARACTERS)
        self._confirms = [post(CONFIRM_PATH, template, bearer)[: -UUID_CHARACTERS - 2] for bearer in bearers]
        self._key = job.webhook_key
        self._turn = 0
        self._second = 0
        self._occurred_at = b""

    def next_device(self) -> int:
        """Return the index of the device whose turn it is."""
        self._turn = (self._turn + 1) % len(self._previews)
        return self._turn

    def preview(self, device: int) -> bytes:
        """Return the preview of a device, which always asks for the same basket."""
        return self._previews[device]

    def confirm(self, device: int, order_id: bytes) -> bytes:
        """Return the confirm of an order of a device."""
        return self._confirms[device] + order_id + b'"}'

    def webhook(self, order_id: bytes) -> bytes:
        """Return inventory's signed webhook that the order was picked in full."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._occurred_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)).encode()
        body = b'{"order_id":"%s","status":"COMPLETED","occurred_at":"%s"}' % (order_id, self._occurred_at)
        webhook_id, stamp = b"msg_" + order_id, b"%d" % second
        signed = b2a_base64(hmac.digest(self._key, b"%s.%s.%s" % (webhook_id, stamp, body), "sha256"), newline=False)
        return WEBHOOK_REQUEST % (webhook_id, stamp, signed, len(body), body)


class OrderClient:
    """Sends the requests of one order at a time; calls `idle(self, pause_s)` when it can begin the next order."""

    def __init__(
        self,
        counters: LoadCounters,
        requests: Requests,
        public: HttpConnection,
        internal: HttpConnection | None,
        idle: Callable[[OrderClient, float], None],
    ) -> None:
        """Use the connection `public`, and `internal` for the webhook; None if inventory sends it."""
        self._counters = counters
        self._requests = requests
        self._public = public
        self._internal = internal
        self._idle = idle
        self._device = 0
        self._order_id = b""
        self._due = self._sent = self._took_s = 0.0
        self._tries = 0

    def begin(self, due: float) -> None:
        """Begin an order; the time since `due` counts as latency of its preview."""
        self._counters.begun += 1
        self._due, self._sent, self._took_s, self._tries = due, time.perf_counter(), 0.0, 0
        self._device = self._requests.next_device()
        self._public.send(self._requests.preview(self._device), self._on_preview)

    def _on_preview(self, status: int, body: bytes, retry_after_s: float) -> None:
        if not self._record(PREVIEW, status):
            self._idle(self, retry_after_s)
            return
        at = body.index(ORDER_ID) + len(ORDER_ID)
        self._order_id = body[at : at + UUID_CHARACTERS]
        self._tries = 0
        self._due = time.perf_counter()
        self._send_confirm()

    def _send_confirm(self) -> None:
        self._sent = time.perf_counter()
        self._public.send(self._requests.confirm(self._device, self._order_id), self._on_confirm)

    def _on_confirm(self, status: int, _body: bytes, retry_after_s: float) -> None:
        if not self._record(CONFIRM, status):
            self._retry(self._send_confirm, status, retry_after_s)
        elif self._internal is None:
            self._finish()
        else:
            self._tries = 0
            self._due = time.perf_counter()
            self._send_webhook()

    def _send_webhook(self) -> None:
        assert self._internal is not None
        self._sent = time.perf_counter()
        self._internal.send(self._requests.webhook(self._order_id), self._on_webhook)

    def _on_webhook(self, status: int, _body: bytes, retry_after_s: float) -> None:
        if self._record(WEBHOOK, status):
            self._finish()
        else:
            self._retry(self._send_webhook, status, retry_after_s)

    def _finish(self) -> None:
        self._counters.finished(self._took_s)
        self._idle(self, 0.0)

    def _retry(self, send: Callable[[], None], status: int, retry_after_s: float) -> None:
        """Send again after Retry-After for 429 and 503, MAX_TRIES times at most; else give up.

        The gateway's loops finish an order that is given up.
        """
        self._tries += 1
        if status in BUSY and self._tries < MAX_TRIES:
            asyncio.get_running_loop().call_later(retry_after_s * random.uniform(1.0, 1.5), send)  # noqa: S311 - jitter
        else:
            self._counters.failures["given up"] += 1
            self._idle(self, 0.0)

    def _record(self, kind: str, status: int) -> bool:
        """Record a response and return True for success.

        The latency of a success counts from the instant of being due, that of a refusal from the instant of sending.
        """
        now, counters = time.perf_counter(), self._counters
        if status == SUCCESS[kind]:
            took_s = now - self._due
            self._took_s += took_s
            if counters.measuring:
                counters.took_s[kind].append(took_s)
            return True
        if counters.measuring:
            counters.failures[f"{kind} {status}"] += 1
            if status in BUSY:
                counters.refused_s.append(now - self._sent)
        return False
