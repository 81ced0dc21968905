"""What accounts send and are told: the JSON of CONTRACT §2, field for field."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from autogrocery.gateway.core.account import PHONE_PATTERN, DeviceId, Kind
from autogrocery.gateway.core.alert import Alerts  # noqa: TC001 - msgspec reads the annotations
from autogrocery.gateway.core.enrolment import MAX_CODE


class RegisterIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A new device."""

    device_id: DeviceId
    password: str  # judged in bytes, which a schema can't say
    email: Annotated[str, Meta(min_length=3, max_length=255)] | None = None
    phone: Annotated[str, Meta(pattern=PHONE_PATTERN)] | None = None
    enrolment_code: Annotated[str, Meta(max_length=MAX_CODE)] | None = None  # read where REGISTRATION is "code"


class RegisteredOut(Struct, frozen=True):
    """The new device's ids."""

    device_id: str
    user_id: int


class LoginIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Who logs in. Neither is judged here: too long is answered like wrong."""

    device_id: str
    password: str


class TokensOut(Struct, frozen=True):
    """An access token for `expires_in` seconds, and the refresh token for the next."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class PasswordIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The old password and the new one."""

    password: str
    new_password: str


class AlertsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What the device wants to hear of by SMS: `none`, `trouble` (short and failed orders), or `all` of its orders' ends."""

    alerts: Alerts


class MeOut(Struct, frozen=True):
    """A registry entry without the password."""

    user_id: int
    device_id: str
    kind: Kind
    email: str | None
    phone: str | None
    robot_class: str | None
    scopes: tuple[str, ...]
    alerts: Alerts
