"""The whole network on this machine: an embedded PostgreSQL and every role, as child processes of this one."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeVar

from autogrocery.kit.process import clock, ready
from autogrocery.kit.process.run import StartError
from autogrocery.lab import log_files
from autogrocery.lab.directories import socket_directory
from autogrocery.lab.lock_file import held
from autogrocery.lab.network import pki
from autogrocery.lab.network.child import Child
from autogrocery.lab.network.home import open_home, open_secrets, write_run
from autogrocery.lab.network.options import Options, web_address
from autogrocery.lab.network.roles import SECRETS, environment, settle
from autogrocery.lab.network.supervise import Supervised, await_ready, keep
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.cluster import USER
from autogrocery.lab.postgres.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    Migrate = Callable[[str], Awaitable[object]]
    Provision = Callable[[str, Path], Awaitable[Mapping[str, Mapping[str, str]] | None]]
    Stocked = Callable[["Stack"], Awaitable[object]]

T = TypeVar("T")
DATABASE: Final = "autogrocery"
DATABASE_READY_S: Final = 60.0
STEP_TIMEOUT_S: Final = 120.0  # migrations, provisioning and stocking, each
ROLES_STOP_S: Final = 5.5  # with the next two lines: everything is gone within 10 s
ROLE_LEAST_S: Final = 0.5
DATABASE_STOP_S: Final = 2.5


class Stack:
    """A running network: `url_public`, `url_internal`, `dsn`, `env` (addresses, secrets), `restarts` by child's name.

    `pki` is where its keys are, None if its links are plain text.
    """

    def __init__(self, options: Options) -> None:
        """Keep `options`; `running_stack` starts and stops."""
        self.home = options.home
        self.env: dict[str, str] = {}
        self.dsn = ""
        self.url_public = ""
        self.url_internal = ""
        self.pki = options.home / "pki" if options.tls else None
        self.restarts: Counter[str] = Counter()
        self.failure: StartError | None = None
        self._options = options
        self._started_at = clock.now()
        self._owner = asyncio.current_task()
        self._postgres: EmbeddedPostgres | None = None
        self._children: list[Child] = []
        self._keepers: set[asyncio.Task[None]] = set()
        self._held = ExitStack()

    @property
    def pids(self) -> dict[str, int | None]:
        """Process ids by child's name, now."""
        return {child.name: child.pid for child in (self._postgres, *self._children) if child is not None}

    async def start(self, migrate_all: Migrate, provision: Provision | None, stocked: Stocked | None) -> None:
        """Start everything in order; raises StartError, and leaves the stopping to `stop`."""
        open_home(self.home)
        self._held.enter_context(held(self.home / "lock"))
        remove_run = partial((self.home / "run.json").unlink, missing_ok=True)
        remove_run()  # a killed one's
        self._held.callback(remove_run)
        self._settle()
        await self._open_database()
        async with _step("migrations"):
            await migrate_all(self.dsn)
        extra: Mapping[str, Mapping[str, str]] = {}
        async with _step("provisioning"):
            extra = (await provision(self.dsn, self.home) if provision else None) or {}
        await self._start_roles(extra)
        self._write_run()
        async with _step("stocking"):
            await (stocked(self) if stocked else asyncio.sleep(0))

    async def stop(self) -> None:
        """Stop every child in reverse order, within 10 s; removes run.json and gives the lock back."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        deadline = time.monotonic() + ROLES_STOP_S
        while self._children:
            child = self._children.pop()
            spare_s = ROLE_LEAST_S * len(self._children)
            await child.stop(max(ROLE_LEAST_S, deadline - time.monotonic() - spare_s))
        if self._postgres is not None:
            await _see_through(asyncio.to_thread(self._postgres.stop, DATABASE_STOP_S))
        self._held.close()

    def _settle(self) -> None:
        """Fix addresses and secrets for this run."""
        environ = self._options.environ
        made = open_secrets(self.home)
        addresses = settle(environ, auto=self._options.auto_ports)
        self.url_public = web_address(addresses["ORDERING_HTTP_ADDR"])
        self.url_internal = web_address(addresses["ORDERING_INTERNAL_ADDR"], "https" if self.pki else "http")
        if self.pki is not None and not self.pki.exists():
            pki.init(self.pki)
        self.env = {
            **addresses,
            **{name: environ.get(name) or made[name] for name in SECRETS},
            "AUTOGROCERY_HOME": str(self.home),
            "GATEWAY_WEBHOOK_URL": environ.get("GATEWAY_WEBHOOK_URL") or self.url_internal,
        }

    async def _open_database(self) -> None:
        environ = self._options.environ
        self.dsn = environ.get("DATABASE_URL", "")
        if not self.dsn:
            postgres = EmbeddedPostgres(self.home / "postgres", find_binaries(environ), port=self._options.pg_port)
            self._postgres = postgres
            await _see_through(asyncio.to_thread(postgres.prepare))
            postgres.launch()
            await await_ready(postgres, DATABASE_READY_S)
            await postgres.ensure_database(DATABASE)
            self._keep(postgres, DATABASE_READY_S)
            self.dsn = postgres.dsn(DATABASE)
        self.env |= {"DATABASE_URL": self.dsn} | {
            name: environ.get(name) or self.dsn for name in ("INVENTORY_DATABASE_URL", "PRICING_DATABASE_URL")
        }

    async def _start_roles(self, extra: Mapping[str, Mapping[str, str]]) -> None:
        longest = max((f"{role.name}.ready" for role in self._options.roles), key=len, default="")
        sockets = socket_directory(self.home / "sockets", longest)
        self._held.callback(shutil.rmtree, sockets, ignore_errors=True)
        for _, wave in groupby(self._options.roles, key=lambda role: role.wave):
            started = []
            for role in wave:
                log_file = self.home / "logs" / f"{role.name}.log"
                log_files.rotate(log_file)
                environ = environment(role, self.env, self._options.environ)
                keys = pki.environment_of(role.name, self.pki) if self.pki is not None else {}
                child = Child(role, {**environ, **keys, **extra.get(role.name, {})}, log_file, sockets)
                self._children.append(child)
                started.append(child)
                child.launch()
            for child in started:
                await await_ready(child, child.role.ready_deadline_s)
                self._keep(child, child.role.ready_deadline_s)

    def _keep(self, child: Supervised, ready_deadline_s: float) -> None:
        keeper = asyncio.create_task(keep(child, ready_deadline_s, self._restarted, self._options.most_crashes))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._give_up)

    def _give_up(self, keeper: asyncio.Task[None]) -> None:
        """End the block that uses this network when a child can't be kept."""
        if keeper.cancelled() or self.failure is not None:
            return
        error = keeper.exception()
        self.failure = error if isinstance(error, StartError) else StartError(f"the supervisor failed: {error!r}")
        if self._owner is not None:
            self._owner.cancel()

    def _restarted(self, name: str) -> None:
        self.restarts[name] += 1
        self._write_run()

    def _write_run(self) -> None:
        facts: dict[str, Any] = {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "url_public": self.url_public,
            "url_internal": self.url_internal,
            "addresses": {name: value for name, value in self.env.items() if name.endswith("_ADDR")},
            "pids": self.pids,
            "restarts": dict(self.restarts),
            "database": None,
            "pki": str(self.pki) if self.pki is not None else None,
        }
        if server := self._postgres:
            facts["database"] = {
                "name": DATABASE,
                "user": USER,
                "host": "127.0.0.1",
                "port": server.port,
                "socket": str(server.sockets),
                "password_file": str(server.password_file),
            }
        write_run(self.home, facts)


@asynccontextmanager
async def running_stack(
    options: Options,
    *,
    migrate_all: Migrate,
    provision: Provision | None = None,
    stocked: Stocked | None = None,
) -> AsyncIterator[Stack]:
    """Run the network while the block runs; nothing of it is left afterwards, however the block ends.

    `migrate_all(dsn)` runs first, `provision(dsn, home)` next (it may return further environment by role's name),
    `stocked(stack)` when all roles serve. Raises StartError; a child that crashes on and on cancels the block with one.
    """
    stack = Stack(options)
    try:
        try:
            await stack.start(migrate_all, provision, stocked)
            yield stack
        finally:
            await _see_through(stack.stop())
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if stack.failure is None or (task is not None and task.uncancel()):
            raise  # it was somebody else who cancelled the block
        raise stack.failure from None
    if stack.failure is not None:
        raise stack.failure


async def up(
    options: Options,
    stop: asyncio.Event,
    announce: Callable[[Stack], None],
    *,
    migrate_all: Migrate,
    provision: Provision | None = None,
    stocked: Stocked | None = None,
) -> None:
    """Run the network until `stop` is set, also while it starts; calls `announce` when all roles serve. Raises StartError."""

    async def serve() -> None:
        async with running_stack(options, migrate_all=migrate_all, provision=provision, stocked=stocked) as stack:
            announce(stack)
            ready.notify()
            await stop.wait()

    serving, halted = asyncio.create_task(serve()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, halted}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halted.cancel()
        serving.cancel()
        await asyncio.wait({serving, halted})
    if not serving.cancelled():
        serving.result()


@asynccontextmanager
async def _step(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise StartError(f"{what} took longer than {STEP_TIMEOUT_S:g} s") from error


async def _see_through(work: Awaitable[T]) -> T:
    """Await `work` and see it end even when we are cancelled: what follows relies on it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
