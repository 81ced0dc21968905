"""gRPC channels over mutual TLS whose credentials follow their files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from autogrocery.kit.security.tls import Identity, Material

MAX_CHANNELS: Final = 2  # the latest and the one before it, whose calls may still be in flight
CLOSE_S: Final = 2.0  # grace for the calls of a channel that is closed: the longest deadline of a call


class RotatingChannel:
    """A channel to the peer whose certificate is for `name`; when ours is replaced, calls use a new connection.

    Calls in flight stay on their connection, which a second replacement closes.
    """

    def __init__(self, target: str, identity: Identity, name: str, options: Collection[tuple[str, Any]]) -> None:
        self._target = target
        self._identity = identity
        self._options = (*options, ("grpc.ssl_target_name_override", name))
        self._material: Material | None = None
        self._channels: list[grpc.aio.Channel] = []
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, path: str, **options: Any) -> Callable[..., Any]:
        """Return a method, as grpc.aio.Channel does."""
        methods: dict[grpc.aio.Channel, Callable[..., Any]] = {}

        def call(*call_args: Any, **call_options: Any) -> Any:
            channel = self._latest()
            if channel not in methods:
                methods.clear()
                methods[channel] = channel.unary_unary(path, **options)
            return methods[channel](*call_args, **call_options)

        return call

    async def close(self) -> None:
        """Close every connection immediately."""
        await asyncio.gather(*(channel.close() for channel in self._channels), *self._closing)

    def _latest(self) -> grpc.aio.Channel:
        material = self._identity.current()
        if material is not self._material:
            self._material = material
            credentials = grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
            self._channels.append(grpc.aio.secure_channel(self._target, credentials, options=self._options))
            if len(self._channels) > MAX_CHANNELS:
                task = asyncio.ensure_future(self._channels.pop(0).close(CLOSE_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return self._channels[-1]
