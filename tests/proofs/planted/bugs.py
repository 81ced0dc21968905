"""Bugs that such systems have had, to be planted into a copy of the product: each must make a suite fail.

`quick` is a test that catches the bug in a few seconds; `python -m tests.proofs.planted` runs every suite.
"""

from __future__ import annotations

from msgspec import Struct

EVERY_POINT = "tests/proofs/enumeration/test_gateway_points.py"
KILLS = "tests/proofs/enumeration/test_real_kills.py"


class Edit(Struct, frozen=True):
    """Replaces a text that occurs exactly once in a file of src/autogrocery."""

    file: str
    old: str
    new: str


class Bug(Struct, frozen=True):
    """A planted bug: its name, its edits, and the test that catches it."""

    name: str
    edits: tuple[Edit, ...]
    quick: str


UNGUARDED = Edit(
    "gateway/store/writes.py",
    "WHEN 'PROCESSING' THEN o.status = 'PREVIEWED' AND (o.intent IS NULL OR o.intent = 'DISPATCH')",
    "WHEN 'PROCESSING' THEN true",
)
IN_MEMORY_ONLY = (
    Edit(
        "gateway/core/quote.py",
        'return uuid5(ORDER_NAMES, f"{user_id}:{key}")',
        'return KNOWN.setdefault(f"{user_id}:{key}", uuid4())',
    ),
    Edit(
        "gateway/core/quote.py",
        "from uuid import UUID\n",
        "from uuid import UUID, uuid4\n\nKNOWN: dict[str, UUID] = {}\n",
    ),
)
TERMINAL_FIRST = (
    Edit(
        "gateway/actions/release.py",
        "released = await inventory.release(order.order_id, order.release_as, order.release_cause)",
        "released = True",
    ),
    Edit(
        "gateway/actions/release.py",
        "    return await orders.get(store.db, order.order_id) or order",
        "    await inventory.release(order.order_id, order.release_as, order.release_cause)\n"
        "    return await orders.get(store.db, order.order_id) or order",
    ),
)
UNSORTED = (
    Edit("gateway/core/quote.py", "for sku in sorted(quantities))", "for sku in quantities)"),
    Edit("inventory/core/stock.py", "for sku in sorted(quantities))", "for sku in quantities)"),
    Edit(
        "inventory/store/holds.py",
        "   ORDER BY s.sku, a.turn FOR NO KEY UPDATE OF s),\nqueued",
        "   ORDER BY a.turn, l.place FOR NO KEY UPDATE OF s),\nqueued",
    ),
    Edit(
        "inventory/store/holds.py",
        "LATERAL unnest(a.skus, a.quantities) AS l (sku, quantity)",
        "LATERAL unnest(a.skus, a.quantities) WITH ORDINALITY AS l (sku, quantity, place)",
    ),
)
ID_ABOVE_LAST = (
    Edit(
        "kit/pg/outbox.py",
        "        self._deliver = deliver\n",
        "        self._deliver = deliver\n        self._last: object = None\n",
    ),
    Edit(
        "kit/pg/outbox.py",
        "        room = asyncio.Semaphore(self._at_once)\n",
        "        due = [row for row in due if self._last is None or row['created_at'] > self._last]\n"
        "        self._last = max((row['created_at'] for row in due), default=self._last)\n"
        "        room = asyncio.Semaphore(self._at_once)\n",
    ),
)
WAIT_FOR = Edit(
    "gateway/actions/preview.py",
    "    made = await orders.add(\n"
    "        store, order_id, request.user_id, quote.currency, lines, sha256=sha256, ttl_s=ttl_s, number=number\n"
    "    )\n",
    "    adding = orders.add(\n"
    "        store, order_id, request.user_id, quote.currency, lines, sha256=sha256, ttl_s=ttl_s, number=number\n"
    "    )\n"
    "    try:\n"
    "        made = await asyncio.wait_for(adding, 0.03)\n"
    "    except TimeoutError:\n"
    "        await inventory.release(order_id, Status.CANCELLED, None)\n"
    "        raise Unavailable('order_busy', 'it was not written in time') from None\n",
)
UNSHIELDED = Edit(
    "kit/http/connection.py",
    "        is_tls = self.peer_names is not None  #",
    "        for exchange in self._requests:\n"
    "            if exchange.task is not None:\n"
    "                exchange.task.cancel()\n"
    "        is_tls = self.peer_names is not None  #",
)

BUGS = (
    Bug("an UPDATE without its guard", (UNGUARDED,), "tests/integration/gateway/orders/test_races_and_faults.py"),
    Bug("repeats known in memory only", IN_MEMORY_ONLY, f"{KILLS} -k preview"),
    Bug("a terminal status before inventory's acknowledgement", TERMINAL_FIRST, f"{EVERY_POINT} -k 'expire and have'"),
    Bug("stock locked in no order", UNSORTED, "tests/integration/inventory/test_two_processes.py -k crossing"),
    Bug("an outbox read by id above the last", ID_ABOVE_LAST, "tests/integration/notifier/test_receipts.py"),
    Bug("wait_for around a COMMIT", (WAIT_FOR,), f"{EVERY_POINT} -k 'beyond and quota'"),
    Bug("work that ends when the client hangs up", (UNSHIELDED,), "tests/unit/kit/http/test_http_wire.py -k hangs_up"),
)
