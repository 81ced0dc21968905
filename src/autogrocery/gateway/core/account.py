"""Accounts: who there is, what each may do, what they may call themselves. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from autogrocery.gateway.core.alert import Alerts
from autogrocery.kit.errors import Conflict, Flaw, Invalid

MIN_PASSWORD_BYTES: Final = 12
MAX_PASSWORD_BYTES: Final = 72  # bcrypt reads no further, and nothing is cut silently
MAX_SUPPLIER_ID: Final = 100
FORGIVEN_S: Final = 10.0  # for which a token whose answer got lost may be shown again
EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,190}")
DEVICE_ID_PATTERN: Final = r"^[\x21-\x7e]+(?!\n)$"  # the end, to Python and to readers of the OpenAPI document alike
PHONE_PATTERN: Final = r"^\+[1-9][0-9]{6,14}(?!\n)$"  # E.164


class Kind(StrEnum):
    """Who an account is."""

    DEVICE = "device"
    TRUCK = "truck"
    ROBOT = "robot"
    OPERATOR = "operator"


class Audience(StrEnum):
    """Whom a token is for."""

    ORDERING = "ordering"
    OPS = "ops"
    INVENTORY = "inventory"


AUDIENCES: Final = {
    Kind.DEVICE: Audience.ORDERING,
    Kind.TRUCK: Audience.ORDERING,
    Kind.OPERATOR: Audience.OPS,
    Kind.ROBOT: Audience.INVENTORY,
}
SCOPES: Final = {
    Kind.DEVICE: ("orders:read", "orders:write", "catalog:read"),
    Kind.TRUCK: ("restock:write", "restock:read"),
    Kind.OPERATOR: ("ops:read", "ops:write"),
}
ROBOT_CLASSES: Final = ("bread", "dairy", "meat", "produce", "party")

DeviceId = Annotated[str, Meta(min_length=1, max_length=100, pattern=DEVICE_ID_PATTERN)]


class Account(Struct, frozen=True):
    """A row of the registry. `password` is the bcrypt hash."""

    user_id: int
    device_id: str
    password: str
    kind: Kind
    robot_class: str | None = None
    own_scopes: tuple[str, ...] | None = None
    email: str | None = None
    phone: str | None = None
    disabled: bool = False
    supplier_id: str | None = None  # of a truck: for whom it restocks
    supplier_name: str | None = None
    alerts: Alerts = Alerts.TROUBLE

    @property
    def scopes(self) -> tuple[str, ...]:
        """What this account may do: its own scopes, else those of its kind."""
        if self.own_scopes is not None:
            return self.own_scopes
        if self.kind is Kind.ROBOT:
            return (f"robot:pick:{self.robot_class}",)
        return SCOPES[self.kind]


class Rotation(StrEnum):
    """What becomes of a refresh token that is shown."""

    RENEW = "renew"
    REVOKE = "revoke"
    REFUSE = "refuse"


class Shown(Struct, frozen=True):
    """A refresh token as the database knows it; `current_parent` is the token that the family's newest was given for."""

    token: bytes
    live: bool  # neither expired nor revoked, and its account not disabled
    replaced_for_s: float | None
    current_parent: bytes | None


def rotate(shown: Shown) -> Rotation:
    """Decide: the newest is renewed; the one before it too, for ten seconds (a lost answer); an older one is theft."""
    if not shown.live:
        return Rotation.REFUSE
    if shown.replaced_for_s is None:
        return Rotation.RENEW
    if shown.current_parent == shown.token and shown.replaced_for_s <= FORGIVEN_S:
        return Rotation.RENEW
    return Rotation.REVOKE


def require_password(password: str, pointer: str = "/password") -> None:
    """Raise Invalid(invalid_request) unless a new password is 12..72 bytes of UTF-8 without NUL."""
    plain = password.encode("utf-8", "surrogatepass")
    if not MIN_PASSWORD_BYTES <= len(plain) <= MAX_PASSWORD_BYTES or b"\0" in plain:
        flaw = Flaw(pointer=pointer, detail=f"{MIN_PASSWORD_BYTES}..{MAX_PASSWORD_BYTES} bytes of UTF-8 without NUL")
        raise Invalid("invalid_request", "the password can't be taken", errors=(flaw,))


def require_email(email: str | None) -> None:
    """Raise Invalid(invalid_request) unless it is absent or may be an address."""
    if email is not None and not EMAIL.fullmatch(email):
        raise Invalid(
            "invalid_request",
            "the e-mail address can't be taken",
            errors=(Flaw(pointer="/email", detail="expected name@domain"),),
        )


def require_supplier_of_truck(kind: Kind, supplier_id: str | None) -> None:
    """Raise Invalid(invalid_request) unless a truck, and nobody else, has a supplier of 1..100 printable characters."""
    fits = supplier_id is None or (
        0 < len(supplier_id) <= MAX_SUPPLIER_ID and supplier_id.isprintable() and supplier_id.strip()
    )
    if not fits or (kind is Kind.TRUCK) != (supplier_id is not None):
        raise Invalid(
            "invalid_request",
            "the supplier can't be taken",
            errors=(Flaw(pointer="/supplier_id", detail="a truck has one, of 1..100 printable characters"),),
        )


def require_phone(phone: str | None) -> None:
    """Raise Invalid(invalid_request) unless it is absent or a number by E.164, `+` and 7 to 15 digits."""
    if phone is not None and not re.search(PHONE_PATTERN, phone):
        raise Invalid(
            "invalid_request",
            "the telephone number can't be taken",
            errors=(Flaw(pointer="/phone", detail="expected E.164, as +15550100123"),),
        )


def require_new(password: str, *, email: str | None, phone: str | None) -> None:
    """Raise Invalid(invalid_request) unless an account can be made with these."""
    require_password(password)
    require_email(email)
    require_phone(phone)


def taken() -> Conflict:
    """The refusal of a device id that somebody has."""
    return Conflict("device_taken", "this device id is registered already")
