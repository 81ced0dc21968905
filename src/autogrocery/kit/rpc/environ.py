"""What gRPC reads from the environment while it is being imported, and never again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

# With fork support it waits for all of its threads before a child starts, and aborts the process after a minute.
# The event engine reads and writes sockets on threads of a pool; without it the thread that waits for them does so itself, which
# is what Python's gRPC did until 2026 and costs a call less (decision 0025).
GRPC: Final[Mapping[str, str]] = {
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
}


def prepare(environ: MutableMapping[str, str]) -> None:
    """Set what nobody has set; only of use before the first import of gRPC."""
    for name, value in GRPC.items():
        environ.setdefault(name, value)
