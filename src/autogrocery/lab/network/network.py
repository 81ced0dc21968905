"""The whole network on this machine: an embedded PostgreSQL and every role as child processes of this one."""

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

from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.process import clock, ready
from autogrocery.kit.process.listening import reachable
from autogrocery.kit.process.lock_file import exclusive_lock
from autogrocery.kit.process.run import StartError
from autogrocery.lab import log_files
from autogrocery.lab.directories import socket_directory
from autogrocery.lab.network import pki
from autogrocery.lab.network.child import Child
from autogrocery.lab.network.home import open_home, open_secrets, write_run
from autogrocery.lab.network.options import Options, web_address
from autogrocery.lab.network.roles import SECRETS, resolve_addresses, role_environment
from autogrocery.lab.network.supervise import Supervised, await_ready, keep_running
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.cluster import USER
from autogrocery.lab.postgres.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    Migrate = Callable[[str], Awaitable[object]]
    Provision = Callable[[str, Path], Awaitable[Mapping[str, Mapping[str, str]] | None]]
    OnStarted = Callable[["Stack"], Awaitable[object]]

T = TypeVar("T")
DATABASE: Final = "autogrocery"
DATABASE_READY_DEADLINE_S: Final = 60.0
STEP_TIMEOUT_S: Final = 120.0  # for each of: migrations, provisioning, stocking
ROLES_STOP_S: Final = 5.5  # together with the next two, everything has ended within 10 s
MIN_ROLE_STOP_S: Final = 0.5
DATABASE_STOP_S: Final = 2.5


class Stack:
    """A running network: `url_public`, `url_internal`, `dsn`, `env` (addresses, secrets), `restarts` by child's name.

    `pki` is the directory of its keys, None if its links are plain text.
    """

    def __init__(self, options: Options) -> None:
        """`running_stack` starts and stops it."""
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
        self._user_task = asyncio.current_task()
        self._postgres: EmbeddedPostgres | None = None
        self._children: list[Child] = []
        self._supervisors: set[asyncio.Task[None]] = set()
        self._cleanup = ExitStack()

    @property
    def pids(self) -> dict[str, int | None]:
        """Current process ids by child's name; None for a child that does not run."""
        return {child.name: child.pid for child in (self._postgres, *self._children) if child is not None}

    async def start(self, migrate_all: Migrate, provision: Provision | None, on_started: OnStarted | None) -> None:
        """Start everything in order. Raises StartError; the caller then calls `stop`."""
        open_home(self.home)
        self._cleanup.enter_context(exclusive_lock(self.home / "lock"))
        remove_run = partial((self.home / "run.json").unlink, missing_ok=True)
        remove_run()  # left by a killed supervisor
        self._cleanup.callback(remove_run)
        self._choose_addresses_and_secrets()
        await self._open_database()
        async with _startup_step("migrations"):
            await migrate_all(self.dsn)
        role_env: Mapping[str, Mapping[str, str]] = {}
        async with _startup_step("provisioning"):
            role_env = (await provision(self.dsn, self.home) if provision else None) or {}
        await self._start_roles(role_env)
        self._write_run()
        async with _startup_step("stocking"):
            await (on_started(self) if on_started else asyncio.sleep(0))

    async def stop(self) -> None:
        """Stop every child in reverse order, within 10 s; removes run.json and releases the lock."""
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        deadline = time.monotonic() + ROLES_STOP_S
        while self._children:
            child = self._children.pop()
            reserved_s = MIN_ROLE_STOP_S * len(self._children)
            await child.stop(max(MIN_ROLE_STOP_S, deadline - time.monotonic() - reserved_s))
        if self._postgres is not None:
            await _finish_even_if_cancelled(asyncio.to_thread(self._postgres.stop, DATABASE_STOP_S))
        self._cleanup.close()

    def _choose_addresses_and_secrets(self) -> None:
        """Choose addresses and secrets, and make the keys if TLS is on and there are none."""
        environ = self._options.environ
        secrets = open_secrets(self.home)
        addresses = resolve_addresses(environ, auto=self._options.auto_ports)
        self.url_public = web_address(addresses["ORDERING_HTTP_ADDR"])
        self.url_internal = web_address(addresses["ORDERING_INTERNAL_ADDR"], "https" if self.pki else "http")
        if self.pki is not None and not self.pki.exists():
            pki.init(self.pki)
        self.env = {
            **addresses,
            **{name: environ.get(name) or secrets[name] for name in SECRETS},
            "AUTOGROCERY_HOME": str(self.home),
            "GATEWAY_WEBHOOK_URL": environ.get("GATEWAY_WEBHOOK_URL") or self.url_internal,
        }

    async def _open_database(self) -> None:
        environ = self._options.environ
        self.dsn = environ.get("DATABASE_DIRECT_URL") or environ.get("DATABASE_URL", "")
        if not self.dsn:
            postgres = EmbeddedPostgres(self.home / "postgres", find_binaries(environ), port=self._options.pg_port)
            self._postgres = postgres
            await _finish_even_if_cancelled(asyncio.to_thread(postgres.prepare))
            postgres.launch()
            await await_ready(postgres, DATABASE_READY_DEADLINE_S)
            await postgres.ensure_database(DATABASE)
            self._supervise(postgres, DATABASE_READY_DEADLINE_S)
            self.dsn = postgres.dsn(DATABASE)
        self.env |= {"DATABASE_URL": environ.get("DATABASE_URL") or self.dsn} | {
            name: environ.get(name) or self.dsn for name in ("INVENTORY_DATABASE_URL", "PRICING_DATABASE_URL")
        }

    async def _start_roles(self, role_env: Mapping[str, Mapping[str, str]]) -> None:
        longest = max((f"{role.name}.ready" for role in self._options.roles), key=len, default="")
        sockets = socket_directory(self.home / "sockets", longest)
        self._cleanup.callback(shutil.rmtree, sockets, ignore_errors=True)
        for _, wave in groupby(self._options.roles, key=lambda role: role.wave):
            started = []
            for role in wave:
                log_file = self.home / "logs" / f"{role.name}.log"
                log_files.rotate(log_file)
                environ = role_environment(role, self.env, self._options.environ)
                keys = pki.environment_of(role.name, self.pki) if self.pki is not None else {}
                child = Child(role, {**environ, **keys, **role_env.get(role.name, {})}, log_file, sockets)
                self._children.append(child)
                started.append(child)
                child.launch()
            for child in started:
                await await_ready(child, child.role.ready_deadline_s)
                self._supervise(child, child.role.ready_deadline_s)

    def _supervise(self, child: Supervised, ready_deadline_s: float) -> None:
        supervisor = asyncio.create_task(
            keep_running(child, ready_deadline_s, self._restarted, self._options.max_crashes)
        )
        self._supervisors.add(supervisor)
        supervisor.add_done_callback(self._on_supervisor_done)

    def _on_supervisor_done(self, supervisor: asyncio.Task[None]) -> None:
        """Cancel the task that uses this network: a child was given up, or the supervisor failed."""
        if supervisor.cancelled() or self.failure is not None:
            return
        error = supervisor.exception()
        self.failure = error if isinstance(error, StartError) else StartError(f"the supervisor failed: {error!r}")
        if self._user_task is not None:
            self._user_task.cancel()

    def _restarted(self, name: str) -> None:
        self.restarts[name] += 1
        self._write_run()

    def _write_run(self) -> None:
        run: dict[str, Any] = {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "url_public": self.url_public,
            "url_internal": self.url_internal,
            "addresses": {
                name: ",".join(map(reachable, value.split(",")))
                for name, value in self.env.items()
                if name.endswith("_ADDR")
            },
            "pids": self.pids,
            "restarts": dict(self.restarts),
            "database": None,
            "pki": str(self.pki) if self.pki is not None else None,
        }
        if server := self._postgres:
            run["database"] = {
                "name": DATABASE,
                "user": USER,
                "host": "127.0.0.1",
                "port": server.port,
                "socket": str(server.sockets),
                "password_file": str(server.password_file),
            }
        write_run(self.home, run)


@asynccontextmanager
async def running_stack(
    options: Options,
    *,
    migrate_all: Migrate,
    provision: Provision | None = None,
    on_started: OnStarted | None = None,
) -> AsyncIterator[Stack]:
    """Run the network while the block runs; no process is left afterwards, however the block ends.

    `migrate_all(dsn)` runs first, then `provision(dsn, home)`, which may return further environment by role's name;
    then `on_started(stack)`, when all roles are ready. Raises StartError; a child that keeps crashing cancels the
    block with one.
    """
    stack = Stack(options)
    try:
        try:
            await stack.start(migrate_all, provision, on_started)
            yield stack
        finally:
            await _finish_even_if_cancelled(stack.stop())
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if stack.failure is None or (task is not None and task.uncancel()):
            raise  # the block was cancelled from outside
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
    on_started: OnStarted | None = None,
) -> None:
    """Run the network until `stop` is set, also during start; call `announce` when all roles are ready.

    Raises StartError.
    """

    async def serve() -> None:
        async with running_stack(options, migrate_all=migrate_all, provision=provision, on_started=on_started) as stack:
            announce(stack)
            ready.notify()
            await stop.wait()

    serving, stopping = asyncio.create_task(serve()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        serving.cancel()
        await asyncio.wait({serving, stopping})
    if not serving.cancelled():
        serving.result()


@asynccontextmanager
async def _startup_step(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise StartError(f"{what} took longer than {STEP_TIMEOUT_S:g} s") from error
    except Unavailable as error:
        raise StartError(f"{what}: {error.detail}") from error
    except InDoubt as error:
        raise StartError(f"{what}: {error}: is the peer at its address?") from error


async def _finish_even_if_cancelled(work: Awaitable[T]) -> T:
    """Await `work` to its end even if this task is cancelled meanwhile: the caller relies on its effect."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
