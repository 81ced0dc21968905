"""HTTP listeners: uvicorn without signal handlers, access log and server header, with the limits of `Connection`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from autogrocery.kit.http.connection import HEAD_DEADLINE_S, SEND_DEADLINE_S, Connection
from autogrocery.kit.http.connection_limit import ConnectionLimit
from autogrocery.kit.process.listening import bind, cannot_listen
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from autogrocery.kit.http.app import App
    from autogrocery.kit.security.tls import Identity

MAX_CONNECTIONS = 1_024
DRAIN_S = 5
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
    connection = partial(
        Connection,
        head_deadline_s=head_deadline_s,
        send_deadline_s=send_deadline_s,
        limit=ConnectionLimit(max_connections),
        refusal_reason=app.refusal_reason,
    )
    listener = _bind(host, port, setting)
    config = uvicorn.Config(
        app,
        loop="none",
        http=connection,  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=BACKLOG,
    )
    config.load()
    if identity is not None:
        config.ssl = identity.current().server
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    ticking = asyncio.create_task(server.main_loop(), name=f"http:{setting}")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(ticking, app.stop(), server.shutdown(sockets=[listener]))


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        listener = bind(host, port)
        try:
            listener.listen(BACKLOG)  # two listeners may bind one address; only one may listen
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(cannot_listen(setting, host, port, error)) from None
    listener.settimeout(0)
    return listener
