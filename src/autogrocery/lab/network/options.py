"""Options of a network on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.process.listening import reachable
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.network.home import home_directory
from autogrocery.lab.network.roles import CONSOLE, ROLES, Role
from autogrocery.lab.network.supervise import MAX_CRASHES
from autogrocery.lab.postgres.embedded import PORT_SETTING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HIGHEST_PORT = 65_535


class Options(Struct, frozen=True, kw_only=True):
    """Its home, the environment it reads and passes on, its ports (`pg_port` 0: a free one) and its roles.

    With `tls` every link between roles uses mutual TLS or CURVE, with the keys in `home/pki`, made if there are none.

    A child that crashes `max_crashes` times within CRASH_WINDOW_S ends the network; None: never, for tests that kill
    children.
    """

    home: Path
    environ: dict[str, str]
    auto_ports: bool = False
    pg_port: int = 0
    roles: tuple[Role, ...] = ROLES
    max_crashes: int | None = MAX_CRASHES
    tls: bool = False


def options_from(environ: Mapping[str, str], *, ports: str = "", tls: bool = False) -> Options:
    """Return the options of `up`, with the console if its extra is installed; `ports` is `auto` or empty.

    Raises SettingsError naming the malformed setting.
    """
    if ports not in {"", "auto"}:
        raise SettingsError("--ports is malformed: expected auto")
    port = environ.get(PORT_SETTING) or "0"
    if not (port.isascii() and port.isdigit() and int(port) <= HIGHEST_PORT):
        raise SettingsError(f"{PORT_SETTING} is malformed: expected a port")
    return Options(
        home=home_directory(environ),
        environ=dict(environ),
        auto_ports=ports == "auto",
        pg_port=int(port),
        roles=(*ROLES, CONSOLE) if find_spec("nicegui") is not None else ROLES,
        tls=tls,
    )


def web_address(address: str, scheme: str = "http") -> str:
    """Return the URL of `host:port` as this machine reaches it, also if it is bound to all interfaces."""
    return f"{scheme}://{reachable(address)}"
