import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_UNSPECIFIED: _ClassVar[Refusal]
    SHORTAGE: _ClassVar[Refusal]
    RELEASED: _ClassVar[Refusal]
    ITEMS_DIFFER: _ClassVar[Refusal]
    UNKNOWN_SKU: _ClassVar[Refusal]

class ReleaseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RELEASE_REASON_UNSPECIFIED: _ClassVar[ReleaseReason]
    CANCEL: _ClassVar[ReleaseReason]
    EXPIRE: _ClassVar[ReleaseReason]
    NO_ROBOTS: _ClassVar[ReleaseReason]
    SUPERSEDED: _ClassVar[ReleaseReason]
REFUSAL_UNSPECIFIED: Refusal
SHORTAGE: Refusal
RELEASED: Refusal
ITEMS_DIFFER: Refusal
UNKNOWN_SKU: Refusal
RELEASE_REASON_UNSPECIFIED: ReleaseReason
CANCEL: ReleaseReason
EXPIRE: ReleaseReason
NO_ROBOTS: ReleaseReason
SUPERSEDED: ReleaseReason

class Item(_message.Message):
    __slots__ = ("sku", "quantity")
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    sku: str
    quantity: int
    def __init__(self, sku: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class Shortage(_message.Message):
    __slots__ = ("sku", "requested", "available")
    SKU_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    sku: str
    requested: int
    available: int
    def __init__(self, sku: _Optional[str] = ..., requested: _Optional[int] = ..., available: _Optional[int] = ...) -> None: ...

class PickedItem(_message.Message):
    __slots__ = ("sku", "picked")
    SKU_FIELD_NUMBER: _ClassVar[int]
    PICKED_FIELD_NUMBER: _ClassVar[int]
    sku: str
    picked: int
    def __init__(self, sku: _Optional[str] = ..., picked: _Optional[int] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("assignment_id", "robot_id", "robot_class", "aisle", "items", "order_type")
    class OrderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PICK: _ClassVar[Assignment.OrderType]
        PUTAWAY: _ClassVar[Assignment.OrderType]
    PICK: Assignment.OrderType
    PUTAWAY: Assignment.OrderType
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    AISLE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    robot_id: str
    robot_class: str
    aisle: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    order_type: Assignment.OrderType
    def __init__(self, assignment_id: _Optional[str] = ..., robot_id: _Optional[str] = ..., robot_class: _Optional[str] = ..., aisle: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., order_type: _Optional[_Union[Assignment.OrderType, str]] = ...) -> None: ...

class ReserveItemsRequest(_message.Message):
    __slots__ = ("order_id", "items", "hold_seconds", "allow_partial")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    HOLD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    hold_seconds: int
    allow_partial: bool
    def __init__(self, order_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., hold_seconds: _Optional[int] = ..., allow_partial: _Optional[bool] = ...) -> None: ...

class ReserveItemsResponse(_message.Message):
    __slots__ = ("order_id", "success", "items", "shortages", "expires_at", "message", "refusal")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHORTAGES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    success: bool
    items: _containers.RepeatedCompositeFieldContainer[Item]
    shortages: _containers.RepeatedCompositeFieldContainer[Shortage]
    expires_at: _timestamp_pb2.Timestamp
    message: str
    refusal: Refusal
    def __init__(self, order_id: _Optional[str] = ..., success: _Optional[bool] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., shortages: _Optional[_Iterable[_Union[Shortage, _Mapping]]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ..., refusal: _Optional[_Union[Refusal, str]] = ...) -> None: ...

class RobotRequest(_message.Message):
    __slots__ = ("order_id", "items")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    def __init__(self, order_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ...) -> None: ...

class RobotResponse(_message.Message):
    __slots__ = ("order_id", "success", "message", "assignments")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    success: bool
    message: str
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, order_id: _Optional[str] = ..., success: _Optional[bool] = ..., message: _Optional[str] = ..., assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class ReleaseItemsRequest(_message.Message):
    __slots__ = ("order_id", "reason")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    reason: ReleaseReason
    def __init__(self, order_id: _Optional[str] = ..., reason: _Optional[_Union[ReleaseReason, str]] = ...) -> None: ...

class ReleaseItemsResponse(_message.Message):
    __slots__ = ("order_id", "result")
    class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESULT_UNSPECIFIED: _ClassVar[ReleaseItemsResponse.Result]
        RELEASED: _ClassVar[ReleaseItemsResponse.Result]
        ALREADY_ASSIGNED: _ClassVar[ReleaseItemsResponse.Result]
    RESULT_UNSPECIFIED: ReleaseItemsResponse.Result
    RELEASED: ReleaseItemsResponse.Result
    ALREADY_ASSIGNED: ReleaseItemsResponse.Result
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    result: ReleaseItemsResponse.Result
    def __init__(self, order_id: _Optional[str] = ..., result: _Optional[_Union[ReleaseItemsResponse.Result, str]] = ...) -> None: ...

class GetOrderRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class GetOrderResponse(_message.Message):
    __slots__ = ("order_id", "state", "items")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[GetOrderResponse.State]
        HELD: _ClassVar[GetOrderResponse.State]
        LAPSED: _ClassVar[GetOrderResponse.State]
        ASSIGNED: _ClassVar[GetOrderResponse.State]
        COMPLETED: _ClassVar[GetOrderResponse.State]
        FAILED: _ClassVar[GetOrderResponse.State]
        RELEASED: _ClassVar[GetOrderResponse.State]
    UNKNOWN: GetOrderResponse.State
    HELD: GetOrderResponse.State
    LAPSED: GetOrderResponse.State
    ASSIGNED: GetOrderResponse.State
    COMPLETED: GetOrderResponse.State
    FAILED: GetOrderResponse.State
    RELEASED: GetOrderResponse.State
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    state: GetOrderResponse.State
    items: _containers.RepeatedCompositeFieldContainer[PickedItem]
    def __init__(self, order_id: _Optional[str] = ..., state: _Optional[_Union[GetOrderResponse.State, str]] = ..., items: _Optional[_Iterable[_Union[PickedItem, _Mapping]]] = ...) -> None: ...

class StockLevel(_message.Message):
    __slots__ = ("sku", "available")
    SKU_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    sku: str
    available: int
    def __init__(self, sku: _Optional[str] = ..., available: _Optional[int] = ...) -> None: ...

class CheckAvailabilityRequest(_message.Message):
    __slots__ = ("skus",)
    SKUS_FIELD_NUMBER: _ClassVar[int]
    skus: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, skus: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckAvailabilityResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[StockLevel]
    def __init__(self, items: _Optional[_Iterable[_Union[StockLevel, _Mapping]]] = ...) -> None: ...

class RestockItem(_message.Message):
    __slots__ = ("sku", "name", "aisle_type", "quantity", "unit_cost_cents", "mfd_date", "expiry_date")
    SKU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AISLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_COST_CENTS_FIELD_NUMBER: _ClassVar[int]
    MFD_DATE_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_DATE_FIELD_NUMBER: _ClassVar[int]
    sku: str
    name: str
    aisle_type: str
    quantity: int
    unit_cost_cents: int
    mfd_date: _timestamp_pb2.Timestamp
    expiry_date: _timestamp_pb2.Timestamp
    def __init__(self, sku: _Optional[str] = ..., name: _Optional[str] = ..., aisle_type: _Optional[str] = ..., quantity: _Optional[int] = ..., unit_cost_cents: _Optional[int] = ..., mfd_date: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expiry_date: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RestockRequest(_message.Message):
    __slots__ = ("order_id", "supplier_id", "items", "shelved")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHELVED_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    supplier_id: str
    items: _containers.RepeatedCompositeFieldContainer[RestockItem]
    shelved: bool
    def __init__(self, order_id: _Optional[str] = ..., supplier_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RestockItem, _Mapping]]] = ..., shelved: _Optional[bool] = ...) -> None: ...

class RestockResponse(_message.Message):
    __slots__ = ("order_id", "success", "message")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    success: bool
    message: str
    def __init__(self, order_id: _Optional[str] = ..., success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class RestockedItem(_message.Message):
    __slots__ = ("sku", "received", "damaged")
    SKU_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    sku: str
    received: int
    damaged: int
    def __init__(self, sku: _Optional[str] = ..., received: _Optional[int] = ..., damaged: _Optional[int] = ...) -> None: ...

class GetRestockRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class GetRestockResponse(_message.Message):
    __slots__ = ("order_id", "state", "items")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[GetRestockResponse.State]
        RECEIVING: _ClassVar[GetRestockResponse.State]
        RECEIVED: _ClassVar[GetRestockResponse.State]
        REJECTED: _ClassVar[GetRestockResponse.State]
    UNKNOWN: GetRestockResponse.State
    RECEIVING: GetRestockResponse.State
    RECEIVED: GetRestockResponse.State
    REJECTED: GetRestockResponse.State
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    state: GetRestockResponse.State
    items: _containers.RepeatedCompositeFieldContainer[RestockedItem]
    def __init__(self, order_id: _Optional[str] = ..., state: _Optional[_Union[GetRestockResponse.State, str]] = ..., items: _Optional[_Iterable[_Union[RestockedItem, _Mapping]]] = ...) -> None: ...

class ListWorkRequest(_message.Message):
    __slots__ = ("robot_id", "robot_class", "limit")
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_CLASS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    robot_id: str
    robot_class: str
    limit: int
    def __init__(self, robot_id: _Optional[str] = ..., robot_class: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListWorkResponse(_message.Message):
    __slots__ = ("assignments",)
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class StartPickRequest(_message.Message):
    __slots__ = ("assignment_id", "robot_id")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    robot_id: str
    def __init__(self, assignment_id: _Optional[str] = ..., robot_id: _Optional[str] = ...) -> None: ...

class StartPickResponse(_message.Message):
    __slots__ = ("granted", "fence", "lease_until", "items")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    fence: int
    lease_until: _timestamp_pb2.Timestamp
    items: _containers.RepeatedCompositeFieldContainer[RestockedItem]
    def __init__(self, granted: _Optional[bool] = ..., fence: _Optional[int] = ..., lease_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., items: _Optional[_Iterable[_Union[RestockedItem, _Mapping]]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("robot_id", "fences")
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    robot_id: str
    fences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, robot_id: _Optional[str] = ..., fences: _Optional[_Iterable[int]] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("lost_fences",)
    LOST_FENCES_FIELD_NUMBER: _ClassVar[int]
    lost_fences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, lost_fences: _Optional[_Iterable[int]] = ...) -> None: ...

class ReportPickRequest(_message.Message):
    __slots__ = ("assignment_id", "robot_id", "sequence", "items", "status", "fence")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[ReportPickRequest.Status]
        PICKED: _ClassVar[ReportPickRequest.Status]
        SHORT: _ClassVar[ReportPickRequest.Status]
        FAILED: _ClassVar[ReportPickRequest.Status]
    STATUS_UNSPECIFIED: ReportPickRequest.Status
    PICKED: ReportPickRequest.Status
    SHORT: ReportPickRequest.Status
    FAILED: ReportPickRequest.Status
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    robot_id: str
    sequence: int
    items: _containers.RepeatedCompositeFieldContainer[PickedItem]
    status: ReportPickRequest.Status
    fence: int
    def __init__(self, assignment_id: _Optional[str] = ..., robot_id: _Optional[str] = ..., sequence: _Optional[int] = ..., items: _Optional[_Iterable[_Union[PickedItem, _Mapping]]] = ..., status: _Optional[_Union[ReportPickRequest.Status, str]] = ..., fence: _Optional[int] = ...) -> None: ...

class ReportPickResponse(_message.Message):
    __slots__ = ("result",)
    class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESULT_UNSPECIFIED: _ClassVar[ReportPickResponse.Result]
        ACCEPTED: _ClassVar[ReportPickResponse.Result]
        DUPLICATE: _ClassVar[ReportPickResponse.Result]
        STALE_FENCE: _ClassVar[ReportPickResponse.Result]
    RESULT_UNSPECIFIED: ReportPickResponse.Result
    ACCEPTED: ReportPickResponse.Result
    DUPLICATE: ReportPickResponse.Result
    STALE_FENCE: ReportPickResponse.Result
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: ReportPickResponse.Result
    def __init__(self, result: _Optional[_Union[ReportPickResponse.Result, str]] = ...) -> None: ...

class ReportPutawayRequest(_message.Message):
    __slots__ = ("assignment_id", "robot_id", "sequence", "items", "done", "fence")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROBOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    robot_id: str
    sequence: int
    items: _containers.RepeatedCompositeFieldContainer[RestockedItem]
    done: bool
    fence: int
    def __init__(self, assignment_id: _Optional[str] = ..., robot_id: _Optional[str] = ..., sequence: _Optional[int] = ..., items: _Optional[_Iterable[_Union[RestockedItem, _Mapping]]] = ..., done: _Optional[bool] = ..., fence: _Optional[int] = ...) -> None: ...

class ReportPutawayResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: ReportPickResponse.Result
    def __init__(self, result: _Optional[_Union[ReportPickResponse.Result, str]] = ...) -> None: ...
