from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from autogrocery.kit.process import settings
from autogrocery.kit.security.transport import TlsSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(TlsSettings, frozen=True):
    """Each field is the environment variable of its name in capitals."""

    pricing_grpc_addr: str = "127.0.0.1:50052"
    pricing_database_url: str = ""
    database_url: str = ""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] = "USD"
    price_margin_percent: Annotated[int, Meta(ge=0, le=1_000)] = 30

    @property
    def dsn(self) -> str:
        """The DSN of pricing's database: its own if set, else the common one."""
        return self.pricing_database_url or self.database_url


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raises SettingsError naming the variable that is missing or malformed."""
    loaded = settings.load(Settings, environ)
    if not loaded.dsn:
        raise settings.SettingsError("DATABASE_URL is not set")
    return loaded
