"""Accounts: their kinds, scopes and limits of registration, and the rotation of refresh tokens. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from autogrocery.contracts.alerts import PHONE_PATTERN, AlertPreference
from autogrocery.kit.errors import Conflict, FieldError, Invalid
from autogrocery.kit.messages.mail_address import parse_mail_address

MIN_PASSWORD_BYTES: Final = 12
MAX_PASSWORD_BYTES: Final = 72  # bcrypt reads no further; a longer password is refused, not truncated
MAX_SUPPLIER_ID: Final = 100
REUSE_GRACE_S: Final = 10.0  # how long a replaced refresh token is accepted again: its answer may have been lost
DEVICE_ID_PATTERN: Final = (
    r"^[\x21-\x7e]+(?!\n)$"  # the end of the text in Python as in ECMAScript, where OpenAPI's readers run it
)


class Kind(StrEnum):
    """The kind of an account."""

    DEVICE = "device"
    TRUCK = "truck"
    ROBOT = "robot"
    OPERATOR = "operator"


class Audience(StrEnum):
    """The `aud` claim: which process accepts a token."""

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
    """A row of the registry. `password` is the bcrypt hash; `own_scopes` replace the scopes of the kind."""

    user_id: int
    device_id: str
    password: str
    kind: Kind
    robot_class: str | None = None
    own_scopes: tuple[str, ...] | None = None
    email: str | None = None
    phone: str | None = None
    disabled: bool = False
    supplier_id: str | None = None  # of a truck: whose goods it delivers
    supplier_name: str | None = None
    alerts: AlertPreference = AlertPreference.TROUBLE

    @property
    def scopes(self) -> tuple[str, ...]:
        """The account's own scopes, or else those of its kind."""
        if self.own_scopes is not None:
            return self.own_scopes
        if self.kind is Kind.ROBOT:
            return (f"robot:pick:{self.robot_class}",)
        return SCOPES[self.kind]


class Rotation(StrEnum):
    """What the gateway does with a refresh token that is presented."""

    RENEW = "renew"
    REVOKE = "revoke"  # the whole family
    REFUSE = "refuse"


class PresentedToken(Struct, frozen=True):
    """A presented refresh token as the database has it.

    `token` is its SHA-256, `current_parent` that of the token which the newest of the family replaced.
    """

    token: bytes
    live: bool  # neither expired nor revoked, and its account not disabled
    replaced_for_s: float | None
    current_parent: bytes | None


def decide_rotation(presented: PresentedToken) -> Rotation:
    """Decide what to do with a presented refresh token.

    The newest of a family is renewed. So is the one before it for REUSE_GRACE_S seconds, because the answer to its
    exchange may have been lost. An older one was stolen: the family is revoked.
    """
    if not presented.live:
        return Rotation.REFUSE
    if presented.replaced_for_s is None:
        return Rotation.RENEW
    if presented.current_parent == presented.token and presented.replaced_for_s <= REUSE_GRACE_S:
        return Rotation.RENEW
    return Rotation.REVOKE


def require_password(password: str, pointer: str = "/password") -> None:
    """Raise Invalid(invalid_request) unless a new password is 12..72 bytes of UTF-8 without NUL."""
    plain = password.encode("utf-8", "surrogatepass")
    if not MIN_PASSWORD_BYTES <= len(plain) <= MAX_PASSWORD_BYTES or b"\0" in plain:
        flaw = FieldError(
            pointer=pointer, detail=f"{MIN_PASSWORD_BYTES}..{MAX_PASSWORD_BYTES} bytes of UTF-8 without NUL"
        )
        raise Invalid("invalid_request", "the password can't be taken", errors=(flaw,))


def canonical_email(email: str | None) -> str | None:
    """Return the address as it is stored, by the code that writes it into a mail's header; None stays None.

    Raises Invalid(invalid_request) for what is not one address.
    """
    if email is None:
        return None
    try:
        return str(parse_mail_address(email))
    except ValueError as error:
        flaw = FieldError(pointer="/email", detail=str(error))
        raise Invalid("invalid_request", "the e-mail address can't be taken", errors=(flaw,)) from None


def require_supplier_of_truck(kind: Kind, supplier_id: str | None) -> None:
    """Raise Invalid(invalid_request) unless trucks, and only trucks, have a supplier of 1..100 printable characters."""
    valid = supplier_id is None or (
        0 < len(supplier_id) <= MAX_SUPPLIER_ID and supplier_id.isprintable() and supplier_id.strip()
    )
    if not valid or (kind is Kind.TRUCK) != (supplier_id is not None):
        raise Invalid(
            "invalid_request",
            "the supplier can't be taken",
            errors=(FieldError(pointer="/supplier_id", detail="a truck has one, of 1..100 printable characters"),),
        )


def require_phone(phone: str | None) -> None:
    """Raise Invalid(invalid_request) unless the number is None or E.164: `+` and 7 to 15 digits."""
    if phone is not None and not re.search(PHONE_PATTERN, phone):
        raise Invalid(
            "invalid_request",
            "the telephone number can't be taken",
            errors=(FieldError(pointer="/phone", detail="expected E.164, as +15550100123"),),
        )


def device_taken() -> Conflict:
    """Return the refusal of a device id that is registered already."""
    return Conflict("device_taken", "this device id is registered already")
