"""The notifier's settings. docs/SETTINGS.md is generated from the descriptions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from autogrocery.contracts.notifier_settings import MessageSettings


class NotifierSettings(MessageSettings, frozen=True, kw_only=True):
    """The notifier's environment variables; a field's variable is its name in capitals."""

    database_url: Annotated[str, Meta(description="DSN of the gateway's database")]
    database_direct_url: Annotated[
        str, Meta(description="the same without a pooler, if DATABASE_URL is one (PgBouncer)")
    ] = ""
    store_id: Annotated[
        str, Meta(description="name of this mart in receipts and alerts", min_length=1, max_length=64)
    ] = "mart-1"
