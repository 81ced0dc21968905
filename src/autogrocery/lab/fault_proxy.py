"""A TCP proxy on loopback that injects network faults: latency, slices, lost replies, black holes, resets.

Put it before any TCP or unix socket and assign to its `faults`; that applies to open and to new connections alike. It
keeps what TCP guarantees: the bytes of a connection arrive in order, and none arrives after a lost one. It buffers at
most one chunk a direction, so a slow reader slows the writer.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Upstream = tuple[str, int] | str
CHUNK_BYTES = 1 << 16
MAX_CONNECTIONS = 1_024  # a client above it is reset
BACKLOG = 256
CONNECT_TIMEOUT_S = 2.0
ACCEPT_PAUSE_S = 0.05
LINGER_0 = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST and drops unsent bytes


class NetworkFaults(Struct, frozen=True):
    """Faults applied to each connection; several may be set at once.

    `latency_s` plus up to `jitter_s` delays each chunk, each way. `slice_bytes`: chunks are sent in pieces of that
    size; 0 sends them whole. `reset_after_bytes`: RST to both ends once that many bytes, both ways together, were
    forwarded since the faults were set. `swallow_replies`: upstream's bytes are read and dropped. `black_hole`: nothing
    is forwarded, and new connections are accepted and not served; forwarding resumes when it is lifted. `half_close`:
    upstream sees the end of the client's stream after its next bytes, and replies still pass. `refuse`: new connections
    are refused.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    slice_bytes: int = 0
    reset_after_bytes: int | None = None
    swallow_replies: bool = False
    black_hole: bool = False
    half_close: bool = False
    refuse: bool = False


NO_FAULTS = NetworkFaults()


class _Connection:
    """One proxied connection: the client's socket, and the upstream's once it is open."""

    def __init__(self, client: socket.socket) -> None:
        self.ends = [client]
        self.forwarded_bytes = 0
        self.lost_bytes = False  # part of a reply was dropped
        self.was_reset = False
        self.task: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """Send RST to both ends and stop the pumps."""
        self.was_reset = True
        for end in self.ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        if self.task is not None:
            self.task.cancel()


class FaultProxy:
    """Listens on 127.0.0.1:`port`; counts connections `opened`, and `broken` by a fault or by a reset of either end.

    A new connection goes to the next of `upstreams`, round robin, that accepts; it is reset if none does.
    """

    def __init__(self, listener: socket.socket, upstreams: list[Upstream], seed: int) -> None:
        self.port: int = listener.getsockname()[1]
        self.upstreams = upstreams
        self.opened = 0
        self.broken = 0
        self._listener = listener
        self._faults = NO_FAULTS
        self._faults_changed = asyncio.Event()
        self._random = random.Random(seed)
        self._connections: set[_Connection] = set()
        self._next_upstream = 0

    @property
    def faults(self) -> NetworkFaults:
        """The faults in force; assigning resets the connections whose replies were swallowed before."""
        return self._faults

    @faults.setter
    def faults(self, faults: NetworkFaults) -> None:
        if faults.refuse and not self._faults.refuse:
            self._listener.shutdown(
                socket.SHUT_RD
            )  # Linux keeps the port bound and refuses connections until the next `listen`
        elif self._faults.refuse and not faults.refuse:
            self._listener.listen(BACKLOG)
        self._faults = faults
        self._faults_changed.set()
        self._faults_changed = asyncio.Event()
        for connection in list(self._connections):
            connection.forwarded_bytes = 0
            if connection.lost_bytes and not faults.swallow_replies:
                self._reset(connection)

    def reset_all(self) -> int:
        """Reset every open connection at both ends; return how many there were."""
        connections = [connection for connection in self._connections if not connection.was_reset]
        for connection in connections:
            self._reset(connection)
        return len(connections)

    async def serve(self) -> None:
        """Accept connections until cancelled; then close all of them."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                while self._faults.refuse:
                    await self._faults_changed.wait()
                try:
                    client, _ = await loop.sock_accept(self._listener)
                except OSError:  # refusing, or out of file descriptors
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                    continue
                self._accept(client)
        finally:
            tasks = [connection.task for connection in self._connections if connection.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, client: socket.socket) -> None:
        self.opened += 1
        connection = _Connection(client)
        if len(self._connections) >= MAX_CONNECTIONS:
            self._reset(connection)
            client.close()
            return
        self._connections.add(connection)
        connection.task = asyncio.get_running_loop().create_task(self._forward(connection))
        connection.task.add_done_callback(lambda _: self._close(connection))

    def _close(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for end in connection.ends:
            end.close()

    def _reset(self, connection: _Connection) -> None:
        self.broken += not connection.was_reset
        connection.reset()

    async def _forward(self, connection: _Connection) -> None:
        """Connect a client to an upstream, and forward until both streams have ended or one breaks."""
        await self._wait_for_black_hole()
        upstream = await self._connect()
        if upstream is None:
            self._reset(connection)
            return
        connection.ends.append(upstream)
        for end in connection.ends:
            if end.family != socket.AF_UNIX:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = connection.ends[0]
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(connection, client, upstream, replies=False))
                pumps.create_task(self._pump(connection, upstream, client, replies=True))
        except* OSError:
            self._reset(connection)

    async def _pump(
        self, connection: _Connection, source: socket.socket, target: socket.socket, *, replies: bool
    ) -> None:
        """Forward what `source` sends, subject to the faults; at its end, end the stream to `target` too."""
        loop = asyncio.get_running_loop()
        ended = False
        while chunk := await loop.sock_recv(source, CHUNK_BYTES):
            await self._delay()
            faults = self._faults
            if connection.was_reset:
                raise ConnectionResetError
            if replies and (faults.swallow_replies or connection.lost_bytes):
                connection.lost_bytes = True
            elif not ended:
                await self._send(connection, target, chunk)
            if faults.half_close and not replies and not ended:
                ended = True
                target.shutdown(socket.SHUT_WR)
        await self._wait_for_black_hole()
        if not ended and not (replies and connection.lost_bytes):
            target.shutdown(socket.SHUT_WR)

    async def _send(self, connection: _Connection, target: socket.socket, chunk: bytes) -> None:
        loop = asyncio.get_running_loop()
        step = self._faults.slice_bytes or len(chunk)
        for start in range(0, len(chunk), step):
            part, limit = chunk[start : start + step], self._faults.reset_after_bytes
            left = len(part) if limit is None else max(limit - connection.forwarded_bytes, 0)
            connection.forwarded_bytes += len(part[:left])
            await loop.sock_sendall(target, part[:left])
            if limit is not None and connection.forwarded_bytes >= limit:
                raise ConnectionResetError
            if step < len(chunk):
                await asyncio.sleep(0)  # let the reader receive this piece alone

    async def _delay(self) -> None:
        pause_s = self._faults.latency_s + self._random.uniform(0.0, self._faults.jitter_s)
        if pause_s:
            await asyncio.sleep(pause_s)
        await self._wait_for_black_hole()

    async def _wait_for_black_hole(self) -> None:
        while self._faults.black_hole:
            await self._faults_changed.wait()

    async def _connect(self) -> socket.socket | None:
        """Return a connection to the next upstream, round robin, that accepts; None if none does."""
        for _ in range(len(self.upstreams)):
            upstream = self.upstreams[self._next_upstream % len(self.upstreams)]
            self._next_upstream += 1
            end = socket.socket(socket.AF_UNIX if isinstance(upstream, str) else socket.AF_INET)
            end.settimeout(0)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await asyncio.get_running_loop().sock_connect(end, upstream)
            except (OSError, TimeoutError):
                end.close()
            except BaseException:
                end.close()
                raise
            else:
                return end
        return None


@asynccontextmanager
async def open_proxy(*upstreams: Upstream, port: int = 0, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """Serve a proxy to `upstreams` while the context is open, on `port` or a free one; leaving closes its sockets."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(
            ("127.0.0.1", port or free_ports(1)[0])
        )  # refusing would lose an ephemeral port to another process
        listener.listen(BACKLOG)
        listener.settimeout(0)
        proxy = FaultProxy(listener, list(upstreams), seed)
        serving = asyncio.create_task(proxy.serve(), name=f"fault-proxy:{proxy.port}")
        try:
            yield proxy
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
