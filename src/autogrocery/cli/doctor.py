"""Check this machine and its settings; each finding says what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from autogrocery.cli.console import console
from autogrocery.cli.keys import operator_identity
from autogrocery.cli.migrations import PARTS
from autogrocery.contracts import notifier_settings
from autogrocery.gateway.app import read_keys
from autogrocery.gateway.peers.notifier import check_message_settings
from autogrocery.gateway.settings import PREFIX, GatewaySettings
from autogrocery.kit.pg.migrate import MigrationError, status
from autogrocery.kit.process.listening import joined
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError, load
from autogrocery.lab.directories import require_writable
from autogrocery.lab.network import home_directory, read_run
from autogrocery.lab.network.home import unusable
from autogrocery.lab.network.roles import ADDRESSES, listening_places
from autogrocery.lab.ports import PortTakenError, check_free
from autogrocery.lab.postgres.binaries import find_binaries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MIN_FREE_BYTES = 512 << 20
RENEW_BEFORE_S = 14 * 24 * 3_600.0


class Finding(NamedTuple):
    """The result of one check: what was checked, whether it is all right, and what was found."""

    check: str
    good: bool
    text: str


def run_doctor(_arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print every finding; exit 1 if one needs attention."""
    findings = [*_machine(environ), *_settings(environ), *_certificate(environ), *_ports(environ)]
    table = Table("what", "", "finding")
    for one in findings:
        table.add_row(one.check, "ok" if one.good else "look", one.text)
    console().print(table)
    return 0 if all(one.good for one in findings) else 1


def _machine(environ: Mapping[str, str]) -> Iterator[Finding]:
    yield Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0])
    yield Finding("processors", good=True, text=str(os.cpu_count()))
    try:
        home = home_directory(environ)
    except StartError as error:
        yield Finding("home", good=False, text=str(error))
    else:
        yield _home(home)
    try:
        yield Finding("PostgreSQL programs", good=True, text=str(find_binaries(environ).directory))
    except StartError as error:
        yield Finding("PostgreSQL programs", bool(environ.get("DATABASE_URL")), str(error))


def _home(home: Path) -> Finding:
    there = next(path for path in (home, *home.parents) if os.path.exists(path))  # noqa: PTH110 - never raises
    try:
        require_writable(there)
        read_run(home)
    except StartError as error:
        return Finding("home", good=False, text=str(error))
    except OSError as error:
        return Finding("home", good=False, text=str(unusable(home, error)))
    free = shutil.disk_usage(there).free
    return Finding("home", free > MIN_FREE_BYTES, f"{home} (AUTOGROCERY_HOME), {free >> 20} MB free")


def _settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    dsn = environ.get("DATABASE_URL")
    if not dsn:
        yield Finding(
            "settings", good=True, text="DATABASE_URL is unset: `autogrocery up` creates its own database and secrets"
        )
        return
    try:
        settings = load(GatewaySettings, environ, prefix=PREFIX)
        read_keys(settings)
        if settings.notifier == "child":
            check_message_settings(load(notifier_settings.MessageSettings, environ, prefix=notifier_settings.PREFIX))
        yield Finding("settings", good=True, text="valid for the gateway")
    except SettingsError as error:
        yield Finding("settings", good=False, text=str(error))
    for part, (variable, schema) in PARTS.items():
        direct = environ.get("DATABASE_DIRECT_URL", "") if variable == "DATABASE_URL" else ""
        if target := direct or environ.get(variable):
            yield _database(variable, target, part, schema)


def _database(variable: str, dsn: str, part: str, schema: str) -> Finding:
    try:
        found = asyncio.run(status(dsn, f"autogrocery.{part}.store.migrations", schema))
    except MigrationError as error:
        return Finding(variable, good=False, text=str(error))
    missing = sum(not one.applied for one in found)
    text = "up to date" if not missing else f"{missing} migrations missing: run `autogrocery migrate`"
    return Finding(variable, not missing, text)


def _certificate(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        identity = operator_identity(environ)
    except (StartError, SettingsError) as error:
        yield Finding("certificate", good=False, text=str(error))
        return
    if identity is None:
        yield Finding("certificate", good=True, text="TLS_* are unset: links are plain text, on this machine only")
        return
    found = identity.current()
    lasting = ssl.cert_time_to_seconds(found.not_after) - time.time() > RENEW_BEFORE_S
    yield Finding("certificate", lasting, f"{', '.join(sorted(found.names))}, until {found.not_after}")


def _ports(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        if read_run(home_directory(environ)):
            yield Finding("ports", good=True, text="in use by the running `autogrocery up`")
            return
    except StartError:
        pass  # told above; the ports are looked at all the same
    for name in ADDRESSES:
        try:
            places = listening_places(name, environ)
            for host, port in places:
                check_free(host, port, name)
        except (PortTakenError, SettingsError) as error:
            yield Finding(name, good=False, text=str(error))
        else:
            free = ", ".join(f"{joined(*place)} is free" for place in places)
            yield Finding(name, good=True, text=free or "connects, and listens nowhere")
