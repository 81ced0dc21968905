from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from autogrocery.kit.bus import endpoints
from autogrocery.kit.process import settings
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.transport import SubscriberSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class Endpoints(Struct, frozen=True):
    """The addresses of a subscription, and whether the subscriber binds them instead of connecting to them."""

    addresses: list[str]
    binds: bool


class Settings(SubscriberSettings, frozen=True):
    """What the operator may set; each field is read from the environment variable of the same name in capitals."""

    analytics_zmq_addr: str = "tcp://127.0.0.1:5557"
    analytics_zmq_target: str = ""
    analytics_status_file: str = ""
    analytics_http_addr: Annotated[
        str, Meta(description="listen address of `/healthz`, `/status`, `/metrics` and `/report`; empty: no listener")
    ] = ""
    analytics_url: Annotated[
        str,
        Meta(
            description="where facts are stored: `clickhouse[s]://user:password@host:port/database`, of a cluster with"
            " `?cluster=name`; `memory:` counts only; empty: the embedded store in `AUTOGROCERY_HOME`"
        ),
    ] = ""
    analytics_keep_facts_days: Annotated[
        int, Meta(ge=32, le=3_650, description="days for which a fact is kept after it was stored")
    ] = 1_100
    analytics_keep_minutes_days: Annotated[
        int, Meta(ge=32, le=3_650, description="days for which the figures of a minute are kept")
    ] = 3_650
    analytics_spool_mb: Annotated[
        int, Meta(ge=1, le=1_000_000, description="disk for facts while the store is away, in MiB")
    ] = 1_024
    autogrocery_home: Annotated[
        str, Meta(description="directory with the embedded store, in `analytics`; without it facts are only counted")
    ] = ""
    inventory_grpc_addr: str = "127.0.0.1:50051"
    inventory_grpc_target: Annotated[
        str, Meta(description="gRPC target of inventory, asked for robots' picks; unset: INVENTORY_GRPC_ADDR")
    ] = ""
    gateway_webhook_url: Annotated[str, Meta(pattern="^https?://[^/]+")] = "http://127.0.0.1:5051"

    @property
    def inventory(self) -> str:
        """The gRPC target of inventory."""
        return self.inventory_grpc_target or self.inventory_grpc_addr

    @property
    def http(self) -> tuple[str, int] | None:
        """Return host and port of the listener, None for no listener; raises SettingsError."""
        return settings.address("ANALYTICS_HTTP_ADDR", self.analytics_http_addr) if self.analytics_http_addr else None

    @property
    def subscription(self) -> Endpoints:
        """Where to subscribe. The subscriber binds where the publisher connects (`>`), or where a target has `@`.

        Raises SettingsError for a list that mixes both.
        """
        name = "ANALYTICS_ZMQ_TARGET" if self.analytics_zmq_target else "ANALYTICS_ZMQ_ADDR"
        value = self.analytics_zmq_target or self.analytics_zmq_addr
        parts = [part.strip() for part in value.split(",") if part.strip()]
        mark = "@" if self.analytics_zmq_target else ">"
        if not parts or len({part.startswith(mark) for part in parts}) > 1:
            raise SettingsError(f"{name} is malformed: the addresses must all connect or all bind")
        return Endpoints([address for _, address in endpoints(value)], parts[0].startswith(mark))


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raises SettingsError naming the variable that is malformed."""
    return settings.load(Settings, environ)
