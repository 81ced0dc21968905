import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RestockState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESTOCK_STATE_UNSPECIFIED: _ClassVar[RestockState]
    RESTOCK_STATE_RECEIVING: _ClassVar[RestockState]
    RESTOCK_STATE_RECEIVED: _ClassVar[RestockState]
    RESTOCK_STATE_REJECTED: _ClassVar[RestockState]
RESTOCK_STATE_UNSPECIFIED: RestockState
RESTOCK_STATE_RECEIVING: RestockState
RESTOCK_STATE_RECEIVED: RestockState
RESTOCK_STATE_REJECTED: RestockState

class ListStockRequest(_message.Message):
    __slots__ = ("query", "aisle_type", "at_most", "cursor", "limit")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    AISLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    query: str
    aisle_type: str
    at_most: int
    cursor: str
    limit: int
    def __init__(self, query: _Optional[str] = ..., aisle_type: _Optional[str] = ..., at_most: _Optional[int] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Product(_message.Message):
    __slots__ = ("sku", "name", "aisle_type", "on_hand", "held", "allocated", "incoming", "lots", "next_expiry")
    SKU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AISLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    LOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    sku: str
    name: str
    aisle_type: str
    on_hand: int
    held: int
    allocated: int
    incoming: int
    lots: int
    next_expiry: _timestamp_pb2.Timestamp
    def __init__(self, sku: _Optional[str] = ..., name: _Optional[str] = ..., aisle_type: _Optional[str] = ..., on_hand: _Optional[int] = ..., held: _Optional[int] = ..., allocated: _Optional[int] = ..., incoming: _Optional[int] = ..., lots: _Optional[int] = ..., next_expiry: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListStockResponse(_message.Message):
    __slots__ = ("products", "next_cursor")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[Product]
    next_cursor: str
    def __init__(self, products: _Optional[_Iterable[_Union[Product, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetStockRequest(_message.Message):
    __slots__ = ("sku",)
    SKU_FIELD_NUMBER: _ClassVar[int]
    sku: str
    def __init__(self, sku: _Optional[str] = ...) -> None: ...

class Lot(_message.Message):
    __slots__ = ("lot", "expiry_at", "received_at", "received", "on_shelf", "expired", "recalled_at")
    LOT_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_AT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ON_SHELF_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    RECALLED_AT_FIELD_NUMBER: _ClassVar[int]
    lot: str
    expiry_at: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    received: int
    on_shelf: int
    expired: bool
    recalled_at: _timestamp_pb2.Timestamp
    def __init__(self, lot: _Optional[str] = ..., expiry_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received: _Optional[int] = ..., on_shelf: _Optional[int] = ..., expired: _Optional[bool] = ..., recalled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetStockResponse(_message.Message):
    __slots__ = ("product", "lots")
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    LOTS_FIELD_NUMBER: _ClassVar[int]
    product: Product
    lots: _containers.RepeatedCompositeFieldContainer[Lot]
    def __init__(self, product: _Optional[_Union[Product, _Mapping]] = ..., lots: _Optional[_Iterable[_Union[Lot, _Mapping]]] = ...) -> None: ...

class ListRobotsRequest(_message.Message):
    __slots__ = ("robot_class", "cursor", "limit")
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    robot_class: str
    cursor: str
    limit: int
    def __init__(self, robot_class: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("order_type", "assignment_id", "order_id", "aisle", "lease_until")
    class OrderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ORDER_TYPE_UNSPECIFIED: _ClassVar[Task.OrderType]
        ORDER_TYPE_PICK: _ClassVar[Task.OrderType]
        ORDER_TYPE_PUTAWAY: _ClassVar[Task.OrderType]
    ORDER_TYPE_UNSPECIFIED: Task.OrderType
    ORDER_TYPE_PICK: Task.OrderType
    ORDER_TYPE_PUTAWAY: Task.OrderType
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    AISLE_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    order_type: Task.OrderType
    assignment_id: str
    order_id: str
    aisle: str
    lease_until: _timestamp_pb2.Timestamp
    def __init__(self, order_type: _Optional[_Union[Task.OrderType, str]] = ..., assignment_id: _Optional[str] = ..., order_id: _Optional[str] = ..., aisle: _Optional[str] = ..., lease_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Robot(_message.Message):
    __slots__ = ("robot_id", "robot_class", "last_seen_at", "live", "queue", "tasks")
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    robot_id: str
    robot_class: str
    last_seen_at: _timestamp_pb2.Timestamp
    live: bool
    queue: int
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, robot_id: _Optional[str] = ..., robot_class: _Optional[str] = ..., last_seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., live: _Optional[bool] = ..., queue: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class ListRobotsResponse(_message.Message):
    __slots__ = ("robots", "next_cursor")
    ROBOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    robots: _containers.RepeatedCompositeFieldContainer[Robot]
    next_cursor: str
    def __init__(self, robots: _Optional[_Iterable[_Union[Robot, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class ListRestocksRequest(_message.Message):
    __slots__ = ("state", "supplier_id", "cursor", "limit")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_ID_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    state: RestockState
    supplier_id: str
    cursor: str
    limit: int
    def __init__(self, state: _Optional[_Union[RestockState, str]] = ..., supplier_id: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Restock(_message.Message):
    __slots__ = ("order_id", "supplier_id", "state", "entered_at", "reported_at", "lines", "units", "received", "damaged", "putaways", "putaways_done")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENTERED_AT_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    PUTAWAYS_FIELD_NUMBER: _ClassVar[int]
    PUTAWAYS_DONE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    supplier_id: str
    state: RestockState
    entered_at: _timestamp_pb2.Timestamp
    reported_at: _timestamp_pb2.Timestamp
    lines: int
    units: int
    received: int
    damaged: int
    putaways: int
    putaways_done: int
    def __init__(self, order_id: _Optional[str] = ..., supplier_id: _Optional[str] = ..., state: _Optional[_Union[RestockState, str]] = ..., entered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reported_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lines: _Optional[int] = ..., units: _Optional[int] = ..., received: _Optional[int] = ..., damaged: _Optional[int] = ..., putaways: _Optional[int] = ..., putaways_done: _Optional[int] = ...) -> None: ...

class ListRestocksResponse(_message.Message):
    __slots__ = ("restocks", "next_cursor")
    RESTOCKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    restocks: _containers.RepeatedCompositeFieldContainer[Restock]
    next_cursor: str
    def __init__(self, restocks: _Optional[_Iterable[_Union[Restock, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetOrderDetailRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class OrderAssignment(_message.Message):
    __slots__ = ("assignment_id", "robot_id", "robot_class", "aisle", "state", "created_at", "lease_until", "closed_at")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    AISLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    robot_id: str
    robot_class: str
    aisle: str
    state: str
    created_at: _timestamp_pb2.Timestamp
    lease_until: _timestamp_pb2.Timestamp
    closed_at: _timestamp_pb2.Timestamp
    def __init__(self, assignment_id: _Optional[str] = ..., robot_id: _Optional[str] = ..., robot_class: _Optional[str] = ..., aisle: _Optional[str] = ..., state: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., closed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OrderLot(_message.Message):
    __slots__ = ("sku", "lot", "quantity", "expiry_at")
    SKU_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_AT_FIELD_NUMBER: _ClassVar[int]
    sku: str
    lot: str
    quantity: int
    expiry_at: _timestamp_pb2.Timestamp
    def __init__(self, sku: _Optional[str] = ..., lot: _Optional[str] = ..., quantity: _Optional[int] = ..., expiry_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OrderWebhook(_message.Message):
    __slots__ = ("webhook_id", "created_at", "attempts", "next_attempt_at", "done_at", "dead_at", "last_error")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_AT_FIELD_NUMBER: _ClassVar[int]
    DEAD_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    created_at: _timestamp_pb2.Timestamp
    attempts: int
    next_attempt_at: _timestamp_pb2.Timestamp
    done_at: _timestamp_pb2.Timestamp
    dead_at: _timestamp_pb2.Timestamp
    last_error: str
    def __init__(self, webhook_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempts: _Optional[int] = ..., next_attempt_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dead_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_error: _Optional[str] = ...) -> None: ...

class GetOrderDetailResponse(_message.Message):
    __slots__ = ("order_id", "state", "created_at", "expires_at", "finished_at", "assignments", "lots", "webhooks")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    LOTS_FIELD_NUMBER: _ClassVar[int]
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    state: str
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    assignments: _containers.RepeatedCompositeFieldContainer[OrderAssignment]
    lots: _containers.RepeatedCompositeFieldContainer[OrderLot]
    webhooks: _containers.RepeatedCompositeFieldContainer[OrderWebhook]
    def __init__(self, order_id: _Optional[str] = ..., state: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assignments: _Optional[_Iterable[_Union[OrderAssignment, _Mapping]]] = ..., lots: _Optional[_Iterable[_Union[OrderLot, _Mapping]]] = ..., webhooks: _Optional[_Iterable[_Union[OrderWebhook, _Mapping]]] = ...) -> None: ...

class AuditRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Invariant(_message.Message):
    __slots__ = ("name", "sentence", "violations", "examples")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    sentence: str
    violations: int
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., sentence: _Optional[str] = ..., violations: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class AuditResponse(_message.Message):
    __slots__ = ("checked_at", "invariants")
    CHECKED_AT_FIELD_NUMBER: _ClassVar[int]
    INVARIANTS_FIELD_NUMBER: _ClassVar[int]
    checked_at: _timestamp_pb2.Timestamp
    invariants: _containers.RepeatedCompositeFieldContainer[Invariant]
    def __init__(self, checked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., invariants: _Optional[_Iterable[_Union[Invariant, _Mapping]]] = ...) -> None: ...
