"""The supervisor of `up`, with small scripts in place of the real roles."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.kit.process.lock_file import LockHeldError
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.network import ROLES, Stack, options_from, read_run, running_dsn, running_stack, up
from autogrocery.lab.network.home import open_secrets
from autogrocery.lab.ports import PortTakenError
from tests.harness.small_network import (
    FAILS_AFTER_READY,
    FAILS_BEFORE_READY,
    IGNORES_SIGTERM,
    NEVER_READY,
    NO_DATABASE,
    SERVES,
    empty_home,
    entries,
    is_alive,
    journal,
    no_op,
    options,
    role,
    run_file,
)
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home() -> Iterator[Path]:
    with empty_home() as directory:
        yield directory


async def test_waves_start_in_order_and_stop_in_reverse(home: Path) -> None:
    roles = [role(home, "first"), role(home, "second", wave=1), role(home, "third", wave=2)]
    async with running_stack(options(home, *roles), migrate_all=no_op):
        assert journal(home) == [
            f"{name} {what}" for name in ("first", "second", "third") for what in ("started", "ready")
        ]
    assert journal(home)[6:] == ["third stopped", "second stopped", "first stopped"]


async def test_start_runs_migrations_then_provisioning_then_roles_then_on_started(home: Path) -> None:
    seen: list[str] = []

    async def migrate_all(dsn: str) -> None:
        seen.append(f"migrated {dsn}")

    async def provision(dsn: str, where: Path) -> dict[str, dict[str, str]]:
        assert (dsn, where) == (NO_DATABASE, home)
        seen.append("provisioned")
        return {"only": {"NAME": "renamed"}}

    async def on_started(stack: Stack) -> None:
        assert stack.url_public.startswith("http://127.0.0.1:")
        seen.extend([*journal(home), "started"])

    async with running_stack(
        options(home, role(home, "only")), migrate_all=migrate_all, provision=provision, on_started=on_started
    ):
        assert seen == [f"migrated {NO_DATABASE}", "provisioned", "renamed started", "renamed ready", "started"]


async def test_killed_role_is_restarted(home: Path) -> None:
    roles = [role(home, "steady"), role(home, "killed", wave=1)]
    async with running_stack(options(home, *roles), migrate_all=no_op) as stack:
        before = stack.pids
        os.kill(before["killed"] or 0, signal.SIGKILL)
        await until(lambda: stack.restarts["killed"] == 1)
        run = run_file(home)
        assert run["pids"] == stack.pids
        assert (stack.pids["steady"] == before["steady"], stack.pids["killed"] == before["killed"]) == (True, False)


async def test_role_that_keeps_crashing_ends_the_network(home: Path) -> None:
    with pytest.raises(StartError, match=r"(?s)restless crashed 5 times within 30 s; .* status 4: out of socks"):
        async with running_stack(options(home, role(home, "restless", FAILS_AFTER_READY)), migrate_all=no_op):
            await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_role_that_ends_before_it_is_ready_shows_the_end_of_its_log(home: Path) -> None:
    roles = [role(home, "steady"), role(home, "broken", FAILS_BEFORE_READY, wave=1)]
    with pytest.raises(StartError, match=r"(?s)broken ended with status 3: no such table: socks"):
        async with running_stack(options(home, *roles), migrate_all=no_op):
            pass
    assert journal(home)[-1] == "steady stopped"


async def test_role_that_is_never_ready_fails_the_start(home: Path) -> None:
    with pytest.raises(StartError, match=r"mute was not ready within 0.3 s; .*was killed by signal 9"):
        async with running_stack(options(home, role(home, "mute", NEVER_READY, deadline_s=0.3)), migrate_all=no_op):
            pass


async def test_roles_that_ignore_sigterm_are_killed_within_ten_seconds(home: Path) -> None:
    roles = [role(home, "early"), *(role(home, f"deaf{n}", IGNORES_SIGTERM, wave=n) for n in (1, 2, 3))]
    async with running_stack(options(home, *roles), migrate_all=no_op) as stack:
        pids = [pid for pid in stack.pids.values() if pid]
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    assert journal(home)[-1] == "early stopped"
    assert not any(map(is_alive, pids))


async def test_reason_of_a_role_that_can_not_start_is_one_line(home: Path) -> None:
    fails = "print('a line\\nautogrocery broken: SMTP_URL is malformed', file=sys.stderr); sys.exit(2)"
    with pytest.raises(StartError) as failed:
        async with running_stack(options(home, role(home, "broken", fails)), migrate_all=no_op):
            pass
    assert str(failed.value) == (
        f"broken ended with status 2: SMTP_URL is malformed; its log is {home}/logs/broken.log"
    )


async def test_rest_of_a_roles_process_group_is_killed(home: Path) -> None:
    forks = "pid = os.fork()\nif pid: note(f'forked {pid}')\nelse: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    async with running_stack(options(home, role(home, "parent", forks + SERVES)), migrate_all=no_op):
        await until(lambda: any("forked" in line for line in journal(home)))
        orphan = next(int(line.split()[-1]) for line in journal(home) if "forked" in line)
        assert is_alive(orphan)
    await until(lambda: not is_alive(orphan))


async def test_port_in_use_is_named_with_its_variable(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        taken = options(
            home,
            auto=False,
            INVENTORY_GRPC_ADDR=f"127.0.0.1:{port}",
            ORDERING_HTTP_ADDR="127.0.0.1:0",
            ORDERING_INTERNAL_ADDR="127.0.0.1:0",
        )
        with pytest.raises(PortTakenError, match=rf"port {port} is in use: set INVENTORY_GRPC_ADDR"):
            async with running_stack(taken, migrate_all=no_op):
                pass
    assert not (home / "lock").exists()


async def test_port_zero_becomes_a_free_port_in_env_and_run_file(home: Path) -> None:
    chosen = options(
        home,
        **{
            name: "tcp://127.0.0.1:0" if "ZMQ" in name else "127.0.0.1:0"
            for name in (
                "ORDERING_HTTP_ADDR",
                "ORDERING_INTERNAL_ADDR",
                "INVENTORY_GRPC_ADDR",
                "PRICING_GRPC_ADDR",
                "ROBOTS_ZMQ_ADDR",
                "ANALYTICS_ZMQ_ADDR",
            )
        },
        auto=False,
    )
    async with running_stack(chosen, migrate_all=no_op) as stack:
        addresses = run_file(home)["addresses"]
        ports = {value.rpartition(":")[2] for value in addresses.values()}
        assert len(ports) == len(addresses) >= 7
        assert "0" not in ports
        assert stack.url_public == f"http://{addresses['ORDERING_HTTP_ADDR']}"


async def test_connecting_addresses_are_left_as_they_are(home: Path) -> None:
    listed = options(home, ANALYTICS_ZMQ_ADDR=">tcp://127.0.0.1:7,@tcp://127.0.0.1:8")
    async with running_stack(listed, migrate_all=no_op) as stack:
        connects, binds = stack.env["ANALYTICS_ZMQ_ADDR"].split(",")
        assert connects == ">tcp://127.0.0.1:7"
        assert binds.startswith("@tcp://127.0.0.1:")
        assert binds != "@tcp://127.0.0.1:8"


async def test_home_in_use_names_its_holder(home: Path) -> None:
    async with running_stack(options(home), migrate_all=no_op):
        with pytest.raises(LockHeldError, match=rf"in use by process {os.getpid()}:"):
            async with running_stack(options(home), migrate_all=no_op):
                pass
        assert (home / "run.json").exists()


async def test_stop_leaves_only_secrets_and_logs(home: Path) -> None:
    async with running_stack(options(home, role(home, "only")), migrate_all=no_op):
        pass
    assert entries(home) == ["logs", "secrets.env"]
    assert entries(home / "logs") == ["only.log"]


async def test_secrets_are_generated_once_with_mode_0600(home: Path) -> None:
    made = []
    for _ in range(2):
        async with running_stack(options(home), migrate_all=no_op) as stack:
            made.append({name: stack.env[name] for name in ("JWT_SECRET", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET")})
    assert made[0] == made[1]
    assert len(set(made[0].values())) == 3
    assert (home / "secrets.env").stat().st_mode & 0o777 == 0o600


async def test_secret_from_the_environment_is_used(home: Path) -> None:
    async with running_stack(options(home, JWT_SECRET="x" * 32), migrate_all=no_op) as stack:
        assert stack.env["JWT_SECRET"] == "x" * 32


def test_malformed_secret_is_named_but_not_shown(home: Path) -> None:
    home.mkdir()
    (home / "secrets.env").write_text("JWT_SECRET=hunter2\n")
    with pytest.raises(StartError, match="JWT_SECRET is too short") as refusal:
        open_secrets(home)
    assert "hunter2" not in str(refusal.value)


async def test_role_receives_only_its_private_env(home: Path) -> None:
    prints_names = "[note(name) for name in os.environ if name.endswith(('_SECRET', '_URL'))]\n"
    roles = [role(home, "printer", prints_names + SERVES, private_env=("ROBOT_JWT_SECRET", "INVENTORY_DATABASE_URL"))]
    async with running_stack(options(home, *roles), migrate_all=no_op):
        seen = {line.split()[1] for line in journal(home)} - {"started", "ready"}
    assert seen == {"ROBOT_JWT_SECRET", "INVENTORY_DATABASE_URL", "GATEWAY_WEBHOOK_URL"}


def test_inventory_does_not_receive_jwt_secret() -> None:
    private_env = {entry.name: set(entry.private_env) for entry in ROLES}
    assert "JWT_SECRET" not in private_env["inventory"]
    assert [entry.name for entry in ROLES] == ["pricing", "inventory", "gateway", "robots", "analytics"]


async def test_killed_database_is_restarted_on_its_port(home: Path) -> None:
    async with running_stack(options(home, role(home, "only"), database=""), migrate_all=no_op) as stack:
        connection = await asyncpg.connect(stack.dsn, timeout=5)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        connection.terminate()
        os.kill(stack.pids["postgresql"] or 0, signal.SIGKILL)
        await until(lambda: stack.restarts["postgresql"] == 1)
        connection = await asyncpg.connect(running_dsn(home), timeout=5)
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()
    assert read_run(home) is None
    assert running_dsn(home) is None


async def test_stop_during_start_leaves_no_process(home: Path) -> None:
    stop = asyncio.Event()
    roles = [role(home, "steady"), role(home, "mute", NEVER_READY, wave=1)]
    running = asyncio.create_task(up(options(home, *roles), stop, lambda _: None, migrate_all=no_op))
    await until(lambda: "mute started" in journal(home))
    stop.set()
    await asyncio.wait_for(running, 5)
    assert journal(home)[-2:] == ["mute stopped", "steady stopped"]
    assert entries(home) == ["logs", "secrets.env"]


async def test_failing_block_stops_everything_and_raises_its_error(home: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running_stack(options(home, role(home, "only")), migrate_all=no_op):
            raise ZeroDivisionError
    assert journal(home)[-1] == "only stopped"


@pytest.mark.parametrize(
    ("environ", "ports", "named"), [({"AUTOGROCERY_PG_PORT": "x"}, "", "AUTOGROCERY_PG_PORT"), ({}, "all", "--ports")]
)
def test_malformed_option_is_named(environ: dict[str, str], ports: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        options_from(environ, ports=ports)
