"""What an operator sets for receipts and alerts: the notifier uses it, a gateway that starts one checks it."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

PREFIX: Final = "NOTIFIER_"  # an unknown variable with it stops the start


class MessageSettings(Struct, frozen=True, kw_only=True):
    """Where receipts and alerts go, and when; a field's variable is its name in capitals."""

    autogrocery_home: Annotated[
        str, Meta(description="directory of receipts/, where receipts are written if SMTP_URL is unset")
    ] = ""
    smtp_url: Annotated[
        str,
        Meta(
            description=(
                "smtp://user:password@host:port (STARTTLS if offered, required before a password) or smtps://…;"
                " unset: receipts are written as .eml files"
            )
        ),
    ] = ""
    receipt_from: Annotated[
        str, Meta(description="From address of receipts; its domain is also that of the Message-IDs")
    ] = "receipts@autogrocery.invalid"
    sms_url: Annotated[
        str,
        Meta(
            description=(
                "twilio://ACCOUNT_SID:TOKEN@api.twilio.com?from=+… or https://user:password@host/path?from=+…;"
                " unset: alerts are logged only"
            )
        ),
    ] = ""
    alert_quiet_hours: Annotated[
        str,
        Meta(
            description="hours without alerts: 22-7 defers them from 22:00 until 7:00; unset: none",
            pattern=r"^(|([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-3]))$",
        ),
    ] = ""
    alert_cap_per_day: Annotated[
        int, Meta(description="maximum number of alerts to a device in 24 hours", ge=0, le=1_000)
    ] = 5
    store_timezone: Annotated[
        str, Meta(description="time zone of ALERT_QUIET_HOURS, an IANA name such as Europe/Berlin")
    ] = "UTC"
    notifier_http_addr: Annotated[
        str, Meta(description="address of this machine for a notifier's /healthz and /metrics; unset: none")
    ] = ""
