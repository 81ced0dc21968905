from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from autogrocery.kit.bus import endpoints
from autogrocery.kit.process import settings
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.links import SubscriberSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(SubscriberSettings, frozen=True):
    """What the operator may set; each field is the environment variable of its name in capitals."""

    analytics_zmq_addr: str = "tcp://127.0.0.1:5557"
    analytics_zmq_target: str = ""
    analytics_status_file: str = ""
    gateway_webhook_url: Annotated[str, Meta(pattern="^https?://[^/]+")] = "http://127.0.0.1:5051"

    @property
    def subscription(self) -> tuple[list[str], bool]:
        """Where to subscribe, and whether we bind there: where the publisher connects (`>`), unless a target says `@`.

        Raises SettingsError for a list that mixes both.
        """
        name = "ANALYTICS_ZMQ_TARGET" if self.analytics_zmq_target else "ANALYTICS_ZMQ_ADDR"
        value = self.analytics_zmq_target or self.analytics_zmq_addr
        parts = [part.strip() for part in value.split(",") if part.strip()]
        mark = "@" if self.analytics_zmq_target else ">"
        if not parts or len({part.startswith(mark) for part in parts}) > 1:
            raise SettingsError(f"{name} is malformed: a subscriber needs addresses that all connect or all bind")
        return [address for _, address in endpoints(value)], parts[0].startswith(mark)


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raises SettingsError naming the variable that is malformed."""
    return settings.load(Settings, environ)
