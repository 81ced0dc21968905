"""Devices as an operator sees and changes them, and the codes with which new ones register.

GET /internal/ops/devices, /devices/{device_id}; POST /devices/{device_id}/disable and /enable; PATCH
/devices/{device_id}; POST /enrolment-codes.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from autogrocery.contracts.alerts import AlertPreference  # noqa: TC001
from autogrocery.contracts.ops.actions import Reason  # noqa: TC001


class DeviceRow(Struct, frozen=True):
    """A device of the registry. `email` and `phone` are masked: a***@example.com, +*********23."""

    device_id: str
    user_id: int
    disabled_at: datetime | None
    email: str | None
    phone: str | None
    alerts: AlertPreference


class DevicesOut(Struct, frozen=True):
    """A page by device id; `next_cursor` None: the last page."""

    data: list[DeviceRow]
    next_cursor: str | None


class DeviceChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What changes; null removes an address or number. Receipts that a bad address held up are then sent."""

    reason: Reason
    email: Annotated[str, Meta(min_length=3, max_length=254)] | UnsetType | None = UNSET
    phone: Annotated[str, Meta(min_length=1, max_length=16)] | UnsetType | None = UNSET
    alerts: AlertPreference | UnsetType = UNSET


class EnrolmentCodeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A code for `uses` devices within `days` days."""

    reason: Reason
    uses: Annotated[int, Meta(ge=1, le=100_000)] = 1
    days: Annotated[int, Meta(ge=1, le=3_650)] = 7


class EnrolmentCodeOut(Struct, frozen=True):
    """A new code. `code` is told once: None when the same Idempotency-Key is repeated."""

    code_id: int
    code: str | None
    uses: int
    days: int
