"""A bad network on loopback: a proxy that hands bytes on, late, in slices, not at all, or ends the connection instead.

Put it before any TCP or unix socket and change its `weather` at will, for open and for new connections alike. It keeps
what TCP keeps: bytes of one connection come in order, and once one is lost no later one arrives. It holds at most one
chunk a direction, so a slow reader slows the writer.
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
MAX_CONNECTIONS = 1_024  # beyond it a client is refused
BACKLOG = 256
CONNECT_TIMEOUT_S = 2.0
ACCEPT_PAUSE_S = 0.05
LINGER_0 = struct.pack("ii", 1, 0)  # close then sends RST and drops what is unsent


class Weather(Struct, frozen=True):
    """What the network does to each connection; several at once add up.

    `latency_s` plus up to `jitter_s` for each chunk, each way. `slice_bytes`: chunks go out in pieces of that size, 0 whole.
    `reset_after_bytes`: RST to both ends once so many bytes, both ways together, went through since the weather was set.
    `swallow_replies`: what upstream sends is read and dropped. `black_hole`: nothing moves, new connections are taken and
    left alone; what waited moves on afterwards. `half_close`: upstream sees the end of the client's stream behind its next
    bytes, replies still come. `refuse`: new connections are refused.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    slice_bytes: int = 0
    reset_after_bytes: int | None = None
    swallow_replies: bool = False
    black_hole: bool = False
    half_close: bool = False
    refuse: bool = False


CALM = Weather()


class _Link:
    """One client's connection, the upstream's once there is one, and what has become of them."""

    def __init__(self, client: socket.socket) -> None:
        self.ends = [client]
        self.carried = 0
        self.maimed = False  # has lost bytes of a reply
        self.severed = False
        self.task: asyncio.Task[None] | None = None

    def sever(self) -> None:
        """Make both ends see a reset, at once as far as the pumps are concerned."""
        self.severed = True
        for end in self.ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        if self.task is not None:
            self.task.cancel()


class FaultProxy:
    """Listens on 127.0.0.1:`port`; `opened` connections so far, of which `broken` by the weather or an end's reset.

    Each new connection goes to the next of `upstreams` in turn that accepts; if none does, it is reset.
    """

    def __init__(self, listener: socket.socket, upstreams: list[Upstream], seed: int) -> None:
        self.port: int = listener.getsockname()[1]
        self.upstreams = upstreams
        self.opened = 0
        self.broken = 0
        self._listener = listener
        self._weather = CALM
        self._changed = asyncio.Event()
        self._random = random.Random(seed)
        self._links: set[_Link] = set()
        self._turn = 0

    @property
    def weather(self) -> Weather:
        """The weather now; setting it resets the connections whose replies an earlier one has swallowed."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        if weather.refuse and not self._weather.refuse:
            self._listener.shutdown(socket.SHUT_RD)  # on Linux the port stays ours and refuses, until the next `listen`
        elif self._weather.refuse and not weather.refuse:
            self._listener.listen(BACKLOG)
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()
        for link in list(self._links):
            link.carried = 0
            if link.maimed and not weather.swallow_replies:
                self._sever(link)

    def reset_all(self) -> int:
        """Reset every open connection, at both ends; returns how many there were."""
        links = [link for link in self._links if not link.severed]
        for link in links:
            self._sever(link)
        return len(links)

    async def serve(self) -> None:
        """Take connections until cancelled; then all of them are closed."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                while self._weather.refuse:
                    await self._changed.wait()
                try:
                    client, _ = await loop.sock_accept(self._listener)
                except OSError:  # we refuse, or are short of descriptors
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                    continue
                self._take(client)
        finally:
            tasks = [link.task for link in self._links if link.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, client: socket.socket) -> None:
        self.opened += 1
        link = _Link(client)
        if len(self._links) >= MAX_CONNECTIONS:
            self._sever(link)
            client.close()
            return
        self._links.add(link)
        link.task = asyncio.get_running_loop().create_task(self._carry(link))
        link.task.add_done_callback(lambda _: self._forget(link))

    def _forget(self, link: _Link) -> None:
        self._links.discard(link)
        for end in link.ends:
            end.close()

    def _sever(self, link: _Link) -> None:
        self.broken += not link.severed
        link.sever()

    async def _carry(self, link: _Link) -> None:
        """Join a client to an upstream, until both have ended or either breaks."""
        await self._no_hole()
        upstream = await self._connect()
        if upstream is None:
            self._sever(link)
            return
        link.ends.append(upstream)
        for end in link.ends:
            if end.family != socket.AF_UNIX:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = link.ends[0]
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(link, client, upstream, replies=False))
                pumps.create_task(self._pump(link, upstream, client, replies=True))
        except* OSError:
            self._sever(link)

    async def _pump(self, link: _Link, source: socket.socket, target: socket.socket, *, replies: bool) -> None:
        """Hand on what `source` sends, as the weather lets it; at its end, end the stream to `target` too."""
        loop = asyncio.get_running_loop()
        ended = False
        while chunk := await loop.sock_recv(source, CHUNK_BYTES):
            await self._delay()
            weather = self._weather
            if link.severed:
                raise ConnectionResetError
            if replies and (weather.swallow_replies or link.maimed):
                link.maimed = True
            elif not ended:
                await self._send(link, target, chunk)
            if weather.half_close and not replies and not ended:
                ended = True
                target.shutdown(socket.SHUT_WR)
        await self._no_hole()
        if not ended and not (replies and link.maimed):
            target.shutdown(socket.SHUT_WR)

    async def _send(self, link: _Link, target: socket.socket, chunk: bytes) -> None:
        loop = asyncio.get_running_loop()
        step = self._weather.slice_bytes or len(chunk)
        for start in range(0, len(chunk), step):
            part, limit = chunk[start : start + step], self._weather.reset_after_bytes
            left = len(part) if limit is None else max(limit - link.carried, 0)
            link.carried += len(part[:left])
            await loop.sock_sendall(target, part[:left])
            if limit is not None and link.carried >= limit:
                raise ConnectionResetError
            if step < len(chunk):
                await asyncio.sleep(0)  # let the reader have this piece alone

    async def _delay(self) -> None:
        pause_s = self._weather.latency_s + self._random.uniform(0.0, self._weather.jitter_s)
        if pause_s:
            await asyncio.sleep(pause_s)
        await self._no_hole()

    async def _no_hole(self) -> None:
        while self._weather.black_hole:
            await self._changed.wait()

    async def _connect(self) -> socket.socket | None:
        """Return a connection to the next upstream in turn that accepts, None if none does."""
        for _ in range(len(self.upstreams)):
            upstream = self.upstreams[self._turn % len(self.upstreams)]
            self._turn += 1
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
    """Serve a proxy to `upstreams` while the context lasts, `port` 0 for a free one; leaving closes all it holds."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port or free_ports(1)[0]))  # a port the kernel chose would be lost by refusing
        listener.listen(BACKLOG)
        listener.settimeout(0)
        proxy = FaultProxy(listener, list(upstreams), seed)
        serving = asyncio.create_task(proxy.serve(), name=f"fault-proxy:{proxy.port}")
        try:
            yield proxy
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
