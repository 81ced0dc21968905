"""A mail server on this machine for as long as a test looks at it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from autogrocery.lab.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_S = 20.0


@contextmanager
def serve_postbox(handler: object, host: str = "127.0.0.1", **how: Any) -> Iterator[str]:
    """Serve SMTP with `handler`'s hooks (`handle_DATA` and its kin); yields host:port.

    `how` goes to `aiosmtpd.controller.Controller`.
    """
    (port,) = free_ports(1)
    server = Controller(handler, hostname=host, port=port, ready_timeout=READY_S, **how)
    server.start()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()
