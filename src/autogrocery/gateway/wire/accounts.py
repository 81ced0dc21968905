"""JSON of the accounts' requests and responses, as docs/CONTRACT.md#public-rest defines it."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from autogrocery.contracts.alerts import PHONE_PATTERN, AlertPreference
from autogrocery.gateway.core.account import DeviceId, Kind  # noqa: TC001 - msgspec reads the annotations
from autogrocery.gateway.core.enrolment import MAX_CODE
from autogrocery.kit.messages.mail_address import MAX_BYTES

Email = Annotated[str, Meta(min_length=3, max_length=MAX_BYTES)]
Phone = Annotated[str, Meta(pattern=PHONE_PATTERN)]


class RegisterIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A device to register."""

    device_id: DeviceId
    password: str  # limited in bytes, which JSON Schema can't express
    email: Email | None = None
    phone: Phone | None = None
    enrolment_code: Annotated[str, Meta(max_length=MAX_CODE)] | None = None  # used if REGISTRATION is "code"


class RegisteredOut(Struct, frozen=True):
    """The registered device's ids."""

    device_id: str
    user_id: int


class LoginIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Credentials. Their lengths are not validated: one that is too long gets the same answer as a wrong one."""

    device_id: str
    password: str


class TokensOut(Struct, frozen=True):
    """An access token, valid for `expires_in` seconds, and the refresh token that gets the next one."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class PasswordIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The current password and the new one."""

    password: str
    new_password: str


class AlertsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """For which ends of its orders a device gets an SMS: `none`, `trouble` (partial and failed orders), or `all`."""

    alerts: AlertPreference


class ContactIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What changes of an account's contact; a field that is left out stays as it is, null removes it."""

    email: Email | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    alerts: AlertPreference | UnsetType = UNSET


class MeOut(Struct, frozen=True):
    """A registry entry without the password."""

    user_id: int
    device_id: str
    kind: Kind
    email: str | None
    phone: str | None
    robot_class: str | None
    scopes: tuple[str, ...]
    alerts: AlertPreference
