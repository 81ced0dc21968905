"""Environment variables that gRPC reads once, while it is being imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

# With fork support gRPC waits for all of its threads before a child starts, and aborts the process after a minute.
# The event engine reads and writes sockets on threads of a pool; without it the thread that polls the sockets does so
# itself, as Python's gRPC did until 2026, and a call costs less (decision 0025).
GRPC: Final[Mapping[str, str]] = {
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
}


def prepare(environ: MutableMapping[str, str]) -> None:
    """Set the variables of GRPC that are not set yet; this has an effect only before the first import of gRPC."""
    for name, value in GRPC.items():
        environ.setdefault(name, value)
