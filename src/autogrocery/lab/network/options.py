"""What the operator chooses about a network on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.network.home import home_directory
from autogrocery.lab.network.roles import ROLES, Role
from autogrocery.lab.network.supervise import LOOP_CRASHES
from autogrocery.lab.postgres.embedded import PORT_SETTING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HIGHEST_PORT = 65_535


class Options(Struct, frozen=True, kw_only=True):
    """Where it lives, the environment it reads and passes on, its ports (`pg_port` 0: a free one) and its roles.

    With `tls` every link between roles has mutual TLS or CURVE, by the keys in the home's `pki`, made if there are none.

    A child that crashes `most_crashes` times in half a minute ends the network; None is for those who kill it themselves.
    """

    home: Path
    environ: dict[str, str]
    auto_ports: bool = False
    pg_port: int = 0
    roles: tuple[Role, ...] = ROLES
    most_crashes: int | None = LOOP_CRASHES
    tls: bool = False


def options_from(environ: Mapping[str, str], *, ports: str = "", tls: bool = False) -> Options:
    """Return the options of `up`; `ports` is `auto` or empty. Raises SettingsError naming the setting."""
    if ports not in {"", "auto"}:
        raise SettingsError("--ports is malformed: expected auto")
    port = environ.get(PORT_SETTING) or "0"
    if not (port.isascii() and port.isdigit() and int(port) <= HIGHEST_PORT):
        raise SettingsError(f"{PORT_SETTING} is malformed: expected a port")
    return Options(
        home=home_directory(environ), environ=dict(environ), auto_ports=ports == "auto", pg_port=int(port), tls=tls
    )


def web_address(address: str, scheme: str = "http") -> str:
    """Return the URL under which this machine reaches `host:port`, also when it is bound to all interfaces."""
    host, _, port = address.rpartition(":")
    return f"{scheme}://{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{port}"  # noqa: S104 - not bound here
