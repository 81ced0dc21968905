"""Commands on the registry: add, list and disable devices, trucks, robots and operators."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, Struct
from rich.table import Table

from autogrocery.cli.console import show
from autogrocery.cli.database import dsn_of, run_with_database
from autogrocery.contracts.alerts import AlertPreference
from autogrocery.gateway.actions.change_contact import change_contact
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import DeviceId, Kind
from autogrocery.gateway.store import devices
from autogrocery.kit.errors import Refused
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.settings import SettingsError, load
from autogrocery.kit.security.passwords import open_password_hasher

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

LISTED = 10_000
MAX_STDIN_BYTES = 4_096  # more than any password: a longer one is refused with the reason


class HashSettings(Struct, frozen=True):
    """The bcrypt cost, with the gateway's bounds and default."""

    bcrypt_cost: Annotated[int, Meta(ge=10, le=15)] = 12


def run_add(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Add an account; a generated password is printed and can't be read again."""
    given = password_from_stdin() if arguments.password_stdin else None
    password = secrets.token_urlsafe(18) if given is None else given
    try:
        device_id = msgspec.convert(arguments.device_id, DeviceId)
    except msgspec.ValidationError:
        raise SystemExit("device_id must be 1..100 visible ASCII characters") from None
    try:
        cost = load(HashSettings, environ).bcrypt_cost
    except SettingsError as error:
        raise SystemExit(str(error)) from None

    async def work() -> int:
        async with open_db(dsn_of(environ), application="registry") as db, open_password_hasher(cost) as passwords:
            try:
                user_id = await register(
                    db,
                    passwords,
                    device_id,
                    password,
                    kind=Kind(arguments.kind),
                    email=arguments.email,
                    phone=arguments.phone,
                    robot_class=getattr(arguments, "robot_class", None),
                    supplier_id=getattr(arguments, "supplier", None),
                    supplier_name=getattr(arguments, "name", None),
                )
            except Refused as refusal:
                return _print_refusal(refusal)
        print(f"{arguments.kind} {device_id} added, user_id {user_id}")
        if given is None:
            print(f"password {password}")
        return 0

    return run_with_database(work)


def password_from_stdin() -> str:
    """Return the password on standard input: one line, without its line end (LF or CRLF); anything else belongs to it.

    Raises SystemExit if there is none, more than one line, or what no login could send: text that is not UTF-8.
    """
    given = sys.stdin.buffer.read(MAX_STDIN_BYTES) if sys.stdin is not None else b""
    line = given.removesuffix(b"\n")
    line = line.removesuffix(b"\r") if line != given else line
    if not line:
        raise SystemExit("--password-stdin: standard input is empty: give the password as one line, or leave this out")
    if b"\n" in line:
        raise SystemExit("--password-stdin: standard input has more than one line: give the password as one line")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise SystemExit("--password-stdin: the password is not UTF-8: give it in that encoding") from None


def run_list(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List the accounts of a kind."""

    async def work() -> int:
        async with open_db(dsn_of(environ), application="registry") as db:
            found = await devices.list_of_kind(db, Kind(arguments.kind), LISTED)
        table = Table(
            "user_id", "device_id", "supplier" if arguments.kind == Kind.TRUCK else "class", "scopes", "state"
        )
        for one in found:
            state = "disabled" if one.disabled else "active"
            supplier = " ".join(filter(None, (one.supplier_id, one.supplier_name)))
            table.add_row(str(one.user_id), one.device_id, one.robot_class or supplier, " ".join(one.scopes), state)
        rows = [  # no password and no address
            {
                "user_id": one.user_id,
                "device_id": one.device_id,
                "kind": arguments.kind,
                "robot_class": one.robot_class,
                "supplier_id": one.supplier_id,
                "supplier_name": one.supplier_name,
                "scopes": one.scopes,
                "disabled": one.disabled,
            }
            for one in found
        ]
        show(rows, table, as_json=arguments.json)
        return 0

    return run_with_database(work)


def run_disable(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Disable an account; a running gateway refuses it within 30 s."""

    async def work() -> int:
        async with open_db(dsn_of(environ), application="registry") as db:
            done = await devices.disable(db, arguments.device_id, Kind(arguments.kind))
        if not done:
            print(f"no {arguments.kind} {arguments.device_id}", file=sys.stderr)
            return 1
        print(f"{arguments.kind} {arguments.device_id} disabled")
        return 0

    return run_with_database(work)


def run_set(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Change a device's contact, for customers who ask by telephone."""
    email = None if arguments.no_email else UNSET if arguments.email is None else arguments.email
    phone = None if arguments.no_phone else UNSET if arguments.phone is None else arguments.phone
    alerts = UNSET if arguments.alerts is None else AlertPreference(arguments.alerts)
    if email is UNSET and phone is UNSET and alerts is UNSET:
        raise SystemExit("give what changes: --email, --no-email, --phone, --no-phone or --alerts")

    async def work() -> int:
        async with open_db(dsn_of(environ), application="registry") as db:
            known = await devices.get(db, arguments.device_id)
            if known is None or known.kind is not Kind.DEVICE:
                print(f"no device {arguments.device_id}", file=sys.stderr)
                return 1
            try:
                changed = await change_contact(db, known.user_id, email=email, phone=phone, alerts=alerts)
            except Refused as refusal:
                return _print_refusal(refusal)
        print(
            f"device {arguments.device_id} changed; {changed.receipts} receipts, {changed.alerts} alerts are due again"
        )
        return 0

    return run_with_database(work)


def _print_refusal(refusal: Refused) -> int:
    flaws = "; ".join(flaw.detail or "" for flaw in refusal.errors)
    print(f"{refusal.detail}{': ' if flaws else ''}{flaws}", file=sys.stderr)
    return 1


def run_alerts(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Set which SMS alerts a device gets, for customers who ask by telephone."""

    async def work() -> int:
        async with open_db(dsn_of(environ), application="registry") as db:
            known = await devices.get(db, arguments.device_id)
            if known is None or known.kind is not Kind.DEVICE:
                print(f"no device {arguments.device_id}", file=sys.stderr)
                return 1
            await devices.set_alerts(db, known.user_id, AlertPreference(arguments.choice))
        print(f"device {arguments.device_id} gets alerts: {arguments.choice}")
        return 0

    return run_with_database(work)
