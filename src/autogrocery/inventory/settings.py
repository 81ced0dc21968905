"""Inventory's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from autogrocery.kit.process import settings
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.transport import PublisherSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(PublisherSettings, frozen=True):
    """Each field is the environment variable of its name in capitals; times are in seconds."""

    webhook_secret: str
    robot_jwt_secret: str
    inventory_grpc_addr: str = "127.0.0.1:50051"
    robots_zmq_addr: str = "tcp://127.0.0.1:5556"
    gateway_webhook_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+/?$")] = "http://127.0.0.1:5051"
    inventory_database_url: str = ""
    database_url: str = ""
    inventory_db_connections: Annotated[int, Meta(ge=1, le=200)] = 10
    pick_lease_s: Annotated[float, Meta(ge=0.05, le=3_600)] = 15.0
    robot_seen_s: Annotated[float, Meta(ge=0.05, le=3_600)] = 30.0
    robot_queue_max: Annotated[int, Meta(ge=1, le=10_000)] = 100

    @property
    def dsn(self) -> str:
        """The DSN of inventory's database: its own if set, else the common one."""
        return self.inventory_database_url or self.database_url


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raises SettingsError naming the variable that is missing or malformed."""
    read = settings.load(Settings, environ)
    if not read.dsn:
        raise SettingsError("neither INVENTORY_DATABASE_URL nor DATABASE_URL is set")
    return read
