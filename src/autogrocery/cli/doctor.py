"""Doctor: check this machine and its settings, and say of each finding what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import sys
import time
from typing import TYPE_CHECKING

from rich.table import Table

from autogrocery.cli.console import console
from autogrocery.cli.keys import operator_identity
from autogrocery.gateway.app import read_keys
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.kit.pg.migrate import status
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError, address, load
from autogrocery.lab.network import home_directory, read_run
from autogrocery.lab.network.roles import ADDRESSES
from autogrocery.lab.ports import PortTakenError, check_free
from autogrocery.lab.postgres.binaries import find_binaries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

MIN_FREE_BYTES = 512 << 20
RENEW_BEFORE_S = 14 * 24 * 3_600.0
Finding = tuple[str, bool, str]


def run_doctor(_arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print every finding; exit 1 if one needs attention."""
    findings = [*_machine(environ), *_settings(environ), *_certificate(environ), *_ports(environ)]
    table = Table("what", "", "finding")
    for what, good, finding in findings:
        table.add_row(what, "ok" if good else "look", finding)
    console().print(table)
    return 0 if all(good for _, good, _ in findings) else 1


def _machine(environ: Mapping[str, str]) -> Iterator[Finding]:
    yield "Python", sys.version_info >= (3, 11), sys.version.split()[0]
    yield "processors", True, str(os.cpu_count())
    home = home_directory(environ)
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    yield "home", free > MIN_FREE_BYTES, f"{home} (AUTOGROCERY_HOME), {free >> 20} MB free"
    try:
        yield "PostgreSQL programs", True, str(find_binaries(environ).directory)
    except StartError as error:
        yield "PostgreSQL programs", bool(environ.get("DATABASE_URL")), str(error)


def _settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    dsn = environ.get("DATABASE_URL")
    if not dsn:
        yield "settings", True, "DATABASE_URL is unset: `autogrocery up` brings its own database and secrets"
        return
    try:
        read_keys(load(GatewaySettings, environ))
        yield "settings", True, "the gateway takes them"
    except SettingsError as error:
        yield "settings", False, str(error)
    try:
        found = asyncio.run(status(dsn, "autogrocery.gateway.store.migrations", "public"))
        missing = sum(not one.applied for one in found)
        yield (
            "database",
            not missing,
            "up to date" if not missing else f"{missing} migrations missing: run `autogrocery migrate`",
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        yield "database", False, f"does not answer ({type(error).__name__}): is it running?"


def _certificate(environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        identity = operator_identity(environ)
    except (StartError, SettingsError) as error:
        yield "certificate", False, str(error)
        return
    if identity is None:
        yield "certificate", True, "TLS_* are unset: links are plain text and stay on this machine"
        return
    found = identity.current()
    lasts = ssl.cert_time_to_seconds(found.ends) - time.time() > RENEW_BEFORE_S
    yield "certificate", lasts, f"{', '.join(sorted(found.names))}, until {found.ends}"


def _ports(environ: Mapping[str, str]) -> Iterator[Finding]:
    if read_run(home_directory(environ)):
        yield "ports", True, "`autogrocery up` runs here"
        return
    for name, default in ADDRESSES.items():
        host, port = address(name, (environ.get(name) or default).rpartition("/")[2])
        try:
            check_free(host, port, name)
            yield name, True, f"{host}:{port} is free"
        except PortTakenError as error:
            yield name, False, str(error)
