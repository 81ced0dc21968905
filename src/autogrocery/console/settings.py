from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from autogrocery.kit.process import settings
from autogrocery.kit.security.transport import TlsSettings


class Settings(TlsSettings, frozen=True, kw_only=True):
    """What the operator may set; each field is read from the environment variable of the same name in capitals."""

    console_http_addr: Annotated[
        str, Meta(description="where browsers reach the console; an address of this machine alone: it is plain HTTP")
    ] = "127.0.0.1:5059"
    gateway_webhook_url: Annotated[str, Meta(pattern="^https?://[^/]+")] = "http://127.0.0.1:5051"
    analytics_http_addr: Annotated[
        str, Meta(description="where analytics serves its report; empty: the page of figures says that there is none")
    ] = ""


def load(environ: dict[str, str]) -> Settings:
    """Read the settings; raises SettingsError naming the variable that is malformed."""
    return settings.load(Settings, environ, prefix="CONSOLE_")
