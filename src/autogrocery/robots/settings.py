from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from autogrocery.kit.bus import endpoints
from autogrocery.kit.process import settings
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.transport import SubscriberSettings
from autogrocery.robots.core.plan import FaultRates
from autogrocery.robots.core.robot import Account

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES: Final = frozenset({"bread", "dairy", "meat", "produce", "party"})
MAX_ROBOTS: Final = 1_000
GROUP_AND_OTHERS: Final = 0o077
Percent = Annotated[float, Meta(ge=0, le=100)]


class Settings(SubscriberSettings, frozen=True):
    """What the operator may set; each field is read from the environment variable of the same name in capitals."""

    robots_credentials_file: str
    inventory_grpc_addr: str = "127.0.0.1:50051"
    inventory_grpc_target: str = ""
    peer_transport: Literal["h2", "grpcio"] = "h2"
    robots_zmq_addr: str = "tcp://127.0.0.1:5556"
    robots_zmq_target: str = ""
    gateway_webhook_url: Annotated[str, Meta(pattern="^https?://[^/]+")] = "http://127.0.0.1:5051"
    robots_speed: Annotated[float, Meta(gt=0, le=100_000)] = 20.0
    robots_seed: int = 1
    robots_short_percent: Percent = 2.0
    robots_crash_percent: Percent = 1.0
    robots_damage_percent: Annotated[Percent, Meta(description="how often a delivered line has damaged units")] = 1.0
    robots_missing_percent: Annotated[
        Percent, Meta(description="how often a delivered line has fewer units than were announced")
    ] = 1.0
    robots_surplus_percent: Annotated[Percent, Meta(description="how often a delivered line has more, by a tenth")] = (
        0.5
    )

    @property
    def fault_rates(self) -> FaultRates:
        """How often simulated faults strike this fleet."""
        return FaultRates(
            self.robots_seed,
            self.robots_short_percent,
            self.robots_crash_percent,
            self.robots_damage_percent,
            self.robots_missing_percent,
            self.robots_surplus_percent,
        )

    @property
    def inventory(self) -> str:
        """The address of inventory."""
        return self.inventory_grpc_target or self.inventory_grpc_addr

    @property
    def announcements(self) -> list[str]:
        """The addresses at which work is announced."""
        return [address for _, address in endpoints(self.robots_zmq_target or self.robots_zmq_addr)]


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings; raises SettingsError naming the variable that is missing or malformed."""
    return settings.load(Settings, environ)


def accounts(path: str) -> list[Account]:
    """Read the robots' accounts, the classes alternating, so that a robot of each class starts early.

    Raises SettingsError if the file can't be read, other users may read it, or it is not a list of distinct robots.
    """
    name = "ROBOTS_CREDENTIALS_FILE"
    try:
        file = Path(path)
        if file.stat().st_mode & GROUP_AND_OTHERS:
            raise SettingsError(f"{name}: other users may read the file; run chmod 600 on it")
        found = msgspec.json.decode(file.read_bytes(), type=list[Account])
    except OSError as error:
        raise SettingsError(f"{name}: the file can't be read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SettingsError(f"{name}: the file is not a JSON list of robot_id, robot_class, password") from None
    if not 1 <= len({account.robot_id for account in found}) == len(found) <= MAX_ROBOTS:
        raise SettingsError(f"{name}: the file must list 1..{MAX_ROBOTS} distinct robots")
    if not CLASSES.issuperset(account.robot_class for account in found):
        raise SettingsError(f"{name}: robot_class must be one of {', '.join(sorted(CLASSES))}")
    turns: dict[str, int] = {}
    ranked = []
    for account in found:
        turns[account.robot_class] = turns.get(account.robot_class, 0) + 1
        ranked.append((turns[account.robot_class], account))
    return [account for _, account in sorted(ranked, key=lambda pair: pair[0])]
