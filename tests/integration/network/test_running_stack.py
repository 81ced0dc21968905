"""The network on one machine, with small roles in the place of ours."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.lock_file import LockHeldError
from autogrocery.lab.network import ROLES, Stack, options_from, read_run, running_dsn, running_stack, up
from autogrocery.lab.network.home import open_secrets
from autogrocery.lab.ports import PortTakenError
from tests.harness.small_network import (
    DEAF,
    DIES_EARLY,
    DIES_LATE,
    MUTE,
    NO_DATABASE,
    SERVES,
    alive,
    empty_home,
    entries,
    journal,
    nothing,
    options,
    role,
    run_file,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home() -> Iterator[Path]:
    with empty_home() as directory:
        yield directory


async def test_waves_start_in_order_and_stop_in_reverse(home: Path) -> None:
    roles = [role(home, "first"), role(home, "second", wave=1), role(home, "third", wave=2)]
    async with running_stack(options(home, *roles), migrate_all=nothing):
        assert journal(home) == [
            f"{name} {what}" for name in ("first", "second", "third") for what in ("started", "ready")
        ]
    assert journal(home)[6:] == ["third stopped", "second stopped", "first stopped"]


async def test_migrations_come_first_then_accounts_then_roles_then_stock(home: Path) -> None:
    seen: list[str] = []

    async def migrate_all(dsn: str) -> None:
        seen.append(f"migrated {dsn}")

    async def provision(dsn: str, where: Path) -> dict[str, dict[str, str]]:
        assert (dsn, where) == (NO_DATABASE, home)
        seen.append("provisioned")
        return {"only": {"NAME": "renamed"}}

    async def stocked(stack: Stack) -> None:
        assert stack.url_public.startswith("http://127.0.0.1:")
        seen.extend([*journal(home), "stocked"])

    async with running_stack(
        options(home, role(home, "only")), migrate_all=migrate_all, provision=provision, stocked=stocked
    ):
        assert seen == [f"migrated {NO_DATABASE}", "provisioned", "renamed started", "renamed ready", "stocked"]


async def test_a_killed_role_is_started_again(home: Path) -> None:
    roles = [role(home, "steady"), role(home, "victim", wave=1)]
    async with running_stack(options(home, *roles), migrate_all=nothing) as stack:
        before = stack.pids
        os.kill(before["victim"] or 0, signal.SIGKILL)
        await until(lambda: stack.restarts["victim"] == 1)
        run = run_file(home)
        assert run["pids"] == stack.pids
        assert (stack.pids["steady"] == before["steady"], stack.pids["victim"] == before["victim"]) == (True, False)


async def test_a_role_that_dies_on_and_on_ends_the_network(home: Path) -> None:
    with pytest.raises(StartError, match=r"(?s)restless crashed 5 times within 30 s; .* status 4; .*out of socks"):
        async with running_stack(options(home, role(home, "restless", DIES_LATE)), migrate_all=nothing):
            await asyncio.sleep(60)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_a_role_that_dies_before_it_is_ready_shows_the_end_of_its_log(home: Path) -> None:
    roles = [role(home, "steady"), role(home, "broken", DIES_EARLY, wave=1)]
    with pytest.raises(StartError, match=r"(?s)broken ended with status 3; .*no such table: socks"):
        async with running_stack(options(home, *roles), migrate_all=nothing):
            pass
    assert journal(home)[-1] == "steady stopped"


async def test_a_role_that_never_gets_ready_is_given_up(home: Path) -> None:
    with pytest.raises(StartError, match=r"mute was not ready within 0.3 s; .*was killed by signal 9"):
        async with running_stack(options(home, role(home, "mute", MUTE, deadline_s=0.3)), migrate_all=nothing):
            pass


async def test_roles_deaf_to_sigterm_are_gone_within_ten_seconds(home: Path) -> None:
    roles = [role(home, "early"), *(role(home, f"deaf{n}", DEAF, wave=n) for n in (1, 2, 3))]
    async with running_stack(options(home, *roles), migrate_all=nothing) as stack:
        pids = [pid for pid in stack.pids.values() if pid]
        begun = time.monotonic()
    assert time.monotonic() - begun < 10
    assert journal(home)[-1] == "early stopped"
    assert not any(map(alive, pids))


async def test_what_a_killed_role_leaves_of_its_group_is_ended(home: Path) -> None:
    forks = "pid = os.fork()\nif pid: note(f'forked {pid}')\nelse: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    async with running_stack(options(home, role(home, "parent", forks + SERVES)), migrate_all=nothing):
        await until(lambda: any("forked" in line for line in journal(home)))
        orphan = next(int(line.split()[-1]) for line in journal(home) if "forked" in line)
        assert alive(orphan)
    await until(lambda: not alive(orphan))


async def test_a_port_in_use_is_named_with_its_variable(home: Path) -> None:
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
            async with running_stack(taken, migrate_all=nothing):
                pass
    assert not (home / "lock").exists()


async def test_port_zero_becomes_a_port_that_everybody_is_told(home: Path) -> None:
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
    async with running_stack(chosen, migrate_all=nothing) as stack:
        addresses = run_file(home)["addresses"]
        ports = {value.rpartition(":")[2] for value in addresses.values()}
        assert len(ports) == 6
        assert "0" not in ports
        assert stack.url_public == f"http://{addresses['ORDERING_HTTP_ADDR']}"


async def test_publishers_that_connect_are_left_alone(home: Path) -> None:
    listed = options(home, ANALYTICS_ZMQ_ADDR=">tcp://127.0.0.1:7,@tcp://127.0.0.1:8")
    async with running_stack(listed, migrate_all=nothing) as stack:
        connects, binds = stack.env["ANALYTICS_ZMQ_ADDR"].split(",")
        assert connects == ">tcp://127.0.0.1:7"
        assert binds.startswith("@tcp://127.0.0.1:")
        assert binds != "@tcp://127.0.0.1:8"


async def test_a_home_in_use_names_its_holder(home: Path) -> None:
    async with running_stack(options(home), migrate_all=nothing):
        with pytest.raises(LockHeldError, match=rf"in use by process {os.getpid()}:"):
            async with running_stack(options(home), migrate_all=nothing):
                pass
        assert (home / "run.json").exists()


async def test_nothing_stays_but_secrets_and_logs(home: Path) -> None:
    async with running_stack(options(home, role(home, "only")), migrate_all=nothing):
        pass
    assert entries(home) == ["logs", "secrets.env"]
    assert entries(home / "logs") == ["only.log"]


async def test_secrets_are_made_once_and_private(home: Path) -> None:
    made = []
    for _ in range(2):
        async with running_stack(options(home), migrate_all=nothing) as stack:
            made.append({name: stack.env[name] for name in ("JWT_SECRET", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET")})
    assert made[0] == made[1]
    assert len(set(made[0].values())) == 3
    assert (home / "secrets.env").stat().st_mode & 0o777 == 0o600


async def test_a_secret_of_the_operators_own_is_used(home: Path) -> None:
    async with running_stack(options(home, JWT_SECRET="x" * 32), migrate_all=nothing) as stack:
        assert stack.env["JWT_SECRET"] == "x" * 32


def test_a_damaged_secret_is_named_but_not_shown(home: Path) -> None:
    home.mkdir()
    (home / "secrets.env").write_text("JWT_SECRET=hunter2\n")
    with pytest.raises(StartError, match="JWT_SECRET is too short") as refusal:
        open_secrets(home)
    assert "hunter2" not in str(refusal.value)


async def test_a_role_sees_the_secrets_it_is_given_and_no_other(home: Path) -> None:
    tells = "[note(name) for name in os.environ if name.endswith(('_SECRET', '_URL'))]\n"
    roles = [role(home, "teller", tells + SERVES, given=("ROBOT_JWT_SECRET", "INVENTORY_DATABASE_URL"))]
    async with running_stack(options(home, *roles), migrate_all=nothing):
        seen = {line.split()[1] for line in journal(home)} - {"started", "ready"}
    assert seen == {"ROBOT_JWT_SECRET", "INVENTORY_DATABASE_URL", "GATEWAY_WEBHOOK_URL"}


def test_inventory_holds_no_key_to_clients_tokens() -> None:
    given = {entry.name: set(entry.given) for entry in ROLES}
    assert "JWT_SECRET" not in given["inventory"]
    assert [entry.name for entry in ROLES] == ["pricing", "inventory", "gateway", "robots", "analytics"]


async def test_a_killed_database_comes_back_where_it_was(home: Path) -> None:
    async with running_stack(options(home, role(home, "only"), database=""), migrate_all=nothing) as stack:
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


async def test_a_stop_while_it_starts_leaves_nothing(home: Path) -> None:
    stop = asyncio.Event()
    roles = [role(home, "steady"), role(home, "mute", MUTE, wave=1)]
    running = asyncio.create_task(up(options(home, *roles), stop, lambda _: None, migrate_all=nothing))
    await until(lambda: "mute started" in journal(home))
    stop.set()
    await asyncio.wait_for(running, 5)
    assert journal(home)[-2:] == ["mute stopped", "steady stopped"]
    assert entries(home) == ["logs", "secrets.env"]


async def test_a_block_that_fails_stops_everything_and_keeps_its_own_error(home: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running_stack(options(home, role(home, "only")), migrate_all=nothing):
            raise ZeroDivisionError
    assert journal(home)[-1] == "only stopped"


@pytest.mark.parametrize(
    ("environ", "ports", "named"), [({"AUTOGROCERY_PG_PORT": "x"}, "", "AUTOGROCERY_PG_PORT"), ({}, "all", "--ports")]
)
def test_a_malformed_option_is_named(environ: dict[str, str], ports: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        options_from(environ, ports=ports)
