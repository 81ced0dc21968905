"""`conformance`: check an inventory or a pricing, written by anybody in any language, against the contract."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from autogrocery.cli.console import console
from autogrocery.cli.signals import run_until_signal
from autogrocery.kit.process.settings import address, load, secrets
from autogrocery.kit.security.tls import identity_of
from autogrocery.kit.security.transport import TlsSettings
from autogrocery.lab.conformance import Options, Outcome, Report, UnreachableError, check_inventory, check_pricing
from autogrocery.lab.conformance.options import robot_of
from autogrocery.lab.conformance.report import STYLES, print_report, write_html, write_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from autogrocery.lab.conformance import Result

CHECKS = {"inventory": check_inventory, "pricing": check_pricing}


def run_conformance(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check a peer; exit 0 if no line failed, 1 if one did, 2 if the peer can't be reached."""
    return run_until_signal("conformance", _check(arguments, environ))


async def _check(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    out = console()

    def tell(result: Result) -> None:
        line = Text(f"{result.line_id:<6}{result.outcome:<13}", style=STYLES[result.outcome])
        line.append(result.promise, style="default")
        if result.outcome is not Outcome.PASSED:
            line.append(f": {result.detail}", style="default")
        out.print(line, soft_wrap=True)

    try:
        report: Report = await CHECKS[arguments.kind](_options(arguments, environ), tell)
    except UnreachableError as why:
        print(f"autogrocery conformance: {why}", file=sys.stderr)
        return 2
    print_report(report, out)
    if arguments.json:
        write_json(report, Path(arguments.json))
    if arguments.html:
        write_html(report, Path(arguments.html))
    return 0 if report.ok else 1


def _options(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Options:
    """Return the options of a run; raises SettingsError, StartError or ValueError for malformed ones.

    Secrets come from the environment: other users see a command's arguments.
    """
    address("--target", arguments.target)
    token, secret = environ.get("ROBOT_TOKEN", "").strip(), environ.get("WEBHOOK_SECRET", "").strip()
    return Options(
        target=arguments.target,
        identity=identity_of(load(TlsSettings, environ)),
        robot=robot_of(token, arguments.robot_id, arguments.robot_class) if token else None,
        restart_command=arguments.restart_command,
        webhook_listen=arguments.webhook_listen,
        webhook_key=secrets("WEBHOOK_SECRET", secret)[0] if secret else b"",
        only=tuple(word.strip() for word in arguments.only.split(",") if word.strip()),
        patience=arguments.patience,
        transport=arguments.transport,
    )
