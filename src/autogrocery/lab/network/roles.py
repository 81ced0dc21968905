"""Tables of what `up` runs: addresses (docs/CONTRACT.md#processes-ports-environment), secrets, roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.interpreter import module_command
from autogrocery.kit.process.listening import joined
from autogrocery.kit.process.settings import address
from autogrocery.lab.ports import check_free, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST: Final = "127.0.0.1"
ADDRESSES: Final = {
    "ORDERING_HTTP_ADDR": f"{HOST}:5050",
    "ORDERING_INTERNAL_ADDR": f"{HOST}:5051",
    "INVENTORY_GRPC_ADDR": f"{HOST}:50051",
    "PRICING_GRPC_ADDR": f"{HOST}:50052",
    "ROBOTS_ZMQ_ADDR": f"tcp://{HOST}:5556",
    "ANALYTICS_ZMQ_ADDR": f"tcp://{HOST}:5557",
    "ANALYTICS_HTTP_ADDR": f"{HOST}:5058",
    "CONSOLE_HTTP_ADDR": f"{HOST}:5059",
}
DATABASES: Final = (
    "DATABASE_URL",
    "DATABASE_DIRECT_URL",
    "INVENTORY_DATABASE_URL",
    "PRICING_DATABASE_URL",
    "ANALYTICS_URL",
)
SECRETS: Final = ("JWT_SECRET", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET")
READY_DEADLINE_S: Final = 20.0
ROBOTS_READY_DEADLINE_S: Final = 60.0  # logins hash passwords at the lowest priority: slow on a busy machine


class Role(Struct, frozen=True, kw_only=True):
    """One child: its command, the names in `DATABASES` and `SECRETS` it receives, and its deadline to become ready.

    Roles of one wave start together, waves one after the other.
    """

    name: str
    argv: tuple[str, ...]
    private_env: tuple[str, ...] = ()
    env: dict[str, str] = {}  # msgspec copies the default
    ready_deadline_s: float = READY_DEADLINE_S
    wave: int = 0


def _role(name: str, wave: int, *private_env: str, ready_deadline_s: float = READY_DEADLINE_S) -> Role:
    return Role(
        name=name,
        argv=module_command("autogrocery", name),
        private_env=private_env,
        ready_deadline_s=ready_deadline_s,
        wave=wave,
    )


ROLES: Final = (
    _role("pricing", 0, "PRICING_DATABASE_URL"),
    _role("inventory", 0, "INVENTORY_DATABASE_URL", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET"),
    _role("gateway", 0, "DATABASE_URL", "DATABASE_DIRECT_URL", *SECRETS),
    _role("robots", 0, ready_deadline_s=ROBOTS_READY_DEADLINE_S),
    _role("analytics", 0, "ANALYTICS_URL"),
)
CONSOLE: Final = _role("console", 0)  # of `up` and `demo`, where its extra is installed


def resolve_addresses(environ: Mapping[str, str], *, auto: bool) -> dict[str, str]:
    """Return every address by variable, with a free port where it is 0 or `auto` is on.

    Raises PortTakenError naming port and variable if a port is in use, SettingsError if an address is malformed.
    """
    wanted = {name: (environ.get(name) or default).split(",") for name, default in ADDRESSES.items()}
    free = iter(free_ports(sum(map(len, wanted.values()))))
    return {name: ",".join(_resolve(name, part, free, auto=auto) for part in parts) for name, parts in wanted.items()}


def listening_places(name: str, environ: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return host and port of each address that the variable `name` has a role listen on; raises SettingsError."""
    found = []
    for part in (environ.get(name) or ADDRESSES[name]).split(","):
        scheme, tcp, place = part.strip().rpartition("tcp://")
        if scheme != ">" and (tcp or "://" not in part):
            host, port = address(name, place)
            found.append((HOST if host == "*" else host, port))
    return found


def _resolve(name: str, value: str, free: Iterator[int], *, auto: bool) -> str:
    """Resolve `host:port`, `tcp://host:port` or `@tcp://host:port`; `>tcp://…` connects and stays as it is."""
    scheme, tcp, place = value.strip().rpartition("tcp://")
    if scheme == ">" or (not tcp and "://" in value):
        return value.strip()
    host, port = address(name, place)
    if auto or port == 0:
        port = next(free)
    else:
        check_free(HOST if host == "*" else host, port, name)
    return f"{scheme}{tcp}{joined(host, port)}"


def role_environment(role: Role, shared: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the role's environment: `environ` and `shared`, without secrets that it does not receive, then its own."""
    merged = {**environ, **shared}
    withheld = {*DATABASES, *SECRETS} - set(role.private_env)
    return {name: value for name, value in merged.items() if name not in withheld} | role.env
