"""OrderBroadcast as a FlatBuffer: the task that is announced to the robots of one class.

The writer is hand-written: the schema is fixed, and the library's builder costs tens of µs a table. Every table has one
of two vtables, and everything that a table refers to follows it, so the buffer is written front to back. Reading uses
the generated code.
"""

from __future__ import annotations

import struct

from msgspec import Struct

# FlatBuffers internals: a vtable is its own size, the table's size, then each field's offset in the table, all uint16.
ROOT_VTABLE = struct.pack("<7H2x", 14, 24, 4, 8, 12, 16, 20)
ITEM_VTABLE = struct.pack("<5H2x", 10, 16, 4, 8, 12)
ROOT_VTABLE_AT = 4
ITEM_VTABLE_AT = ROOT_VTABLE_AT + len(ROOT_VTABLE)
ROOT_AT = ITEM_VTABLE_AT + len(ITEM_VTABLE)
VECTOR_AT = ROOT_AT + 24
ITEM_BYTES = 16


class TaskItem(Struct, frozen=True):
    """One line of a task, and the aisle of its product."""

    sku: str
    quantity: int
    aisle: str


class Task(Struct, frozen=True):
    """The announced task; `order_type` is PICK or PUTAWAY."""

    order_id: str
    order_type: str
    items: tuple[TaskItem, ...]
    assignment_id: str
    robot_class: str


class _Strings:
    """The strings at the end of the buffer, each stored once."""

    def __init__(self, start: int) -> None:
        self.encoded = bytearray()
        self._start = start
        self._known: dict[str, int] = {}

    def at(self, text: str) -> int:
        """Return the position of `text` in the buffer."""
        if text not in self._known:
            self._known[text] = self._start + len(self.encoded)
            octets = text.encode()
            self.encoded += struct.pack("<I", len(octets)) + octets
            self.encoded += bytes(4 - len(octets) % 4)  # the NUL that ends it, and padding
        return self._known[text]


def encode(task: Task) -> bytes:
    """Return the FlatBuffer of `task`."""
    items_at = VECTOR_AT + 4 + 4 * len(task.items)
    strings = _Strings(items_at + ITEM_BYTES * len(task.items))
    root = struct.pack(
        "<i5I",
        ROOT_AT - ROOT_VTABLE_AT,
        strings.at(task.order_id) - (ROOT_AT + 4),
        strings.at(task.order_type) - (ROOT_AT + 8),
        VECTOR_AT - (ROOT_AT + 12),
        strings.at(task.assignment_id) - (ROOT_AT + 16),
        strings.at(task.robot_class) - (ROOT_AT + 20),
    )
    offsets, tables = [], []
    for i, item in enumerate(task.items):
        at = items_at + ITEM_BYTES * i
        offsets.append(at - (VECTOR_AT + 4 + 4 * i))
        sku, aisle = strings.at(item.sku) - (at + 4), strings.at(item.aisle) - (at + 12)
        tables.append(struct.pack("<iIiI", at - ITEM_VTABLE_AT, sku, item.quantity, aisle))
    vector = struct.pack(f"<I{len(offsets)}I", len(offsets), *offsets)
    head = struct.pack("<I", ROOT_AT)
    return b"".join((head, ROOT_VTABLE, ITEM_VTABLE, root, vector, *tables, bytes(strings.encoded)))


def decode(payload: bytes) -> Task:
    """Return the task in `payload`; raises ValueError if it is not an OrderBroadcast."""
    from autogrocery.contracts.robots.v1.pick_task_generated import OrderBroadcast  # noqa: PLC0415 - loads numpy

    try:
        table = OrderBroadcast.GetRootAs(payload, 0)  # type: ignore[no-untyped-call]
        if table.ItemsLength() * ITEM_BYTES > len(payload):
            raise ValueError("more items than bytes")
        items = (table.Items(i) for i in range(table.ItemsLength()))
        return Task(
            order_id=_text(table.OrderId()),
            order_type=_text(table.OrderType()),
            items=tuple(TaskItem(_text(item.Sku()), item.Quantity(), _text(item.Aisle())) for item in items),
            assignment_id=_text(table.AssignmentId()),
            robot_class=_text(table.RobotClass()),
        )
    except (IndexError, TypeError, struct.error) as error:
        raise ValueError("not an OrderBroadcast") from error


def _text(octets: bytes | None) -> str:
    return (octets or b"").decode()
