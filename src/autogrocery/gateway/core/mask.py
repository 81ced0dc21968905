"""Mask addresses and telephone numbers: what operators, logs and the audit log see of them. Pure."""

from __future__ import annotations

from typing import Final

SHOWN_DIGITS: Final = 2


def mask_email(email: str | None) -> str | None:
    """Return a***@example.com: the first character and the domain; None stays None."""
    if email is None:
        return None
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"


def mask_phone(phone: str | None) -> str | None:
    """Return +*********23: the last two digits; None stays None."""
    if phone is None:
        return None
    return "+" + "*" * max(len(phone) - 1 - SHOWN_DIGITS, 0) + phone[-SHOWN_DIGITS:]
