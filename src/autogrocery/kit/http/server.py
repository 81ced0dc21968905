"""HTTP listeners: sockets that accept connections, and their end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from autogrocery.kit.http.app import DRAIN_S
from autogrocery.kit.http.connection import HEAD_DEADLINE_S, SEND_DEADLINE_S, Connection
from autogrocery.kit.http.connection_limit import ConnectionLimit
from autogrocery.kit.http.forwarded import TrustedProxies
from autogrocery.kit.process.listening import listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.http.app import App
    from autogrocery.kit.security.tls import Identity

MAX_CONNECTIONS = 1_024
BACKLOG = 1_024


@asynccontextmanager
async def serve_http(
    app: App,
    host: str,
    port: int,
    setting: str,
    *,
    trusted_proxies: str = "",
    max_connections: int = MAX_CONNECTIONS,
    head_deadline_s: float = HEAD_DEADLINE_S,
    send_deadline_s: float = SEND_DEADLINE_S,
    identity: Identity | None = None,
) -> AsyncIterator[int]:
    """Serve `app` while the context lasts; yields the bound port (`port` 0 takes a free one).

    Leaving the context stops accepting, ends streams, and waits up to DRAIN_S seconds for requests in flight.
    `trusted_proxies` is a comma list of addresses and networks whose X-Forwarded-For is trusted. Beyond
    `max_connections` the longest idle connection is closed, or the new one if all are busy. With `identity` it uses
    mutual TLS: each client shows a certificate of the CA, whose names are in `Request.peer_names`. Raises StartError
    naming `setting` if the address can't be used.
    """
    limit = ConnectionLimit(max_connections)
    connection = partial(
        Connection,
        limit,
        TrustedProxies(trusted_proxies),
        bound_met=app.bound_met,
        admit=app.admit,
        begin=app.begin,
        body_deadline_s=app.body_deadline_s,
        head_deadline_s=head_deadline_s,
        send_deadline_s=send_deadline_s,
    )
    listener = listen(setting, host, port, BACKLOG)
    server = await asyncio.get_running_loop().create_server(
        connection,
        sock=listener,
        backlog=BACKLOG,
        ssl=None if identity is None else identity.current().server,
        ssl_handshake_timeout=None if identity is None else head_deadline_s,
    )
    try:
        yield listener.getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(app.stop(), limit.drain(DRAIN_S))
