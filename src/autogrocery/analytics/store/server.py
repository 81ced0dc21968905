"""A ClickHouse server, or a cluster through any of its servers, over HTTP (clickhouse-connect)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from autogrocery.analytics.store.engine import Engine, translated
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LINES: Final = "JSONEachRow"
PORTS: Final = {"clickhouse": 8123, "clickhouses": 8443}
CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 20
SETTINGS: Final = {"async_insert": 0, "max_partitions_per_insert_block": 0}
# A mark may only be written once its facts are on a majority of replicas, and computing minutes must see them.
CLUSTER_SETTINGS: Final = {
    "distributed_foreground_insert": 1,
    "insert_quorum": "auto",
    "insert_quorum_parallel": 0,
    "select_sequential_consistency": 1,
}


class Address(Struct, frozen=True):
    """Where a server is, and what it is told; `cluster` names the cluster in its configuration, "" is none."""

    host: str
    port: int
    secure: bool
    user: str
    password: str
    database: str
    cluster: str
    ca_cert: str


def address_of(url: str) -> Address:
    """Read `clickhouse[s]://[user[:password]@]host[:port][/database][?cluster=name&ca_cert=file]`.

    Raises SettingsError, which does not repeat the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        cluster, ca_cert = options.pop("cluster", ""), options.pop("ca_cert", "")
        database = parts.path.strip("/") or "default"
        if not parts.hostname or options or not all(name.isidentifier() for name in (database, cluster or "none")):
            raise ValueError  # noqa: TRY301 - one sentence for every flaw
    except (ValueError, KeyError):
        raise SettingsError(
            "ANALYTICS_URL is malformed: expected clickhouse://user:password@host:8123/database?cluster=name, or"
            " clickhouses:// for TLS with ca_cert=file, or memory:"
        ) from None
    return Address(
        parts.hostname,
        port,
        parts.scheme == "clickhouses",
        unquote(parts.username or "default"),
        unquote(parts.password or ""),
        database,
        cluster,
        ca_cert,
    )


class Server(Engine):
    """A server that is connected to when a statement is run, and again after every failure."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self._address = address
        self._client: Any = None

    def execute(self, sql: str) -> None:
        """Run a statement in this thread."""
        self._call("command", sql)

    def query(self, sql: str) -> bytes:
        """Run a query in this thread; return its rows as JSON lines."""
        return bytes(self._call("raw_query", sql, fmt=LINES))

    def execute_insert(self, sql: str, lines: bytes) -> None:
        """Insert JSON lines, in this thread."""
        self._call("command", f"{sql} FORMAT {LINES}", data=lines)

    def disconnect(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, method: str, sql: str, **arguments: Any) -> Any:
        from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - comes with the extra

        try:
            if self._client is None:
                self._client = self._connected()
            return getattr(self._client, method)(sql, **arguments)
        except (ClickHouseError, OSError) as error:
            self.disconnect()
            raise translated(error) from None

    def _connected(self) -> Any:
        from clickhouse_connect import get_client  # noqa: PLC0415 - comes with the extra

        to = self._address
        return get_client(
            host=to.host,
            port=to.port,
            secure=to.secure,
            username=to.user,
            password=to.password,
            database=to.database,
            ca_cert=to.ca_cert or None,
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=ANSWER_TIMEOUT_S,
            query_retries=0,
            autogenerate_session_id=False,
            settings=SETTINGS | (CLUSTER_SETTINGS if to.cluster else {}),
        )


def is_installed() -> bool:
    """Return whether the extra `analytics` is installed."""
    return find_spec("clickhouse_connect") is not None


@asynccontextmanager
async def open_server(address: Address) -> AsyncIterator[Server]:
    """Return the server; nothing is sent until the first statement."""
    server = Server(address)
    try:
        yield server
    finally:
        await server.close()
