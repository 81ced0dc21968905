"""Commands on keys: the development CA, and the identity with which a person's command calls peers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import load
from autogrocery.kit.security.links import LinkSettings
from autogrocery.kit.security.tls import identity_of
from autogrocery.lab.network import home_directory, pki, read_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from autogrocery.kit.security.tls import Identity


def run_init(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make a development CA and everybody's keys."""

    def work(directory: Path) -> None:
        made = pki.init(directory)
        print(
            f"{len(made)} files in {directory}: a development CA for {pki.CA_DAYS} days, leaves for {pki.LEAF_DAYS} days"
        )
        print("before those are over: autogrocery pki renew; keep ca.key to yourself, no process needs it")

    return _told(work, arguments, environ)


def run_renew(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make the leaves anew, by the same CA."""

    def work(directory: Path) -> None:
        made = pki.renew(directory)
        print(f"{len(made)} files in {directory} made anew, for {pki.LEAF_DAYS} days; who runs takes them by itself")

    return _told(work, arguments, environ)


def operator_identity(environ: Mapping[str, str], links: Mapping[str, str] | None = None) -> Identity | None:
    """Return the identity of TLS_*, else the operator's of the `up --tls` that runs here, else None.

    `links` are what the command calls, by its settings; raises StartError as `identity_of`.
    """
    place = (read_run(home_directory(environ)) or {}).get("pki")
    ours = pki.environment_of("operator", Path(place)) if place and not environ.get("TLS_CA") else {}
    return identity_of(load(LinkSettings, {**environ, **ours}), links=links)


def _told(work: Callable[[Path], None], arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    directory = Path(arguments.dir).absolute() if arguments.dir else home_directory(environ) / "pki"
    try:
        work(directory)
    except StartError as error:
        print(f"autogrocery pki: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"autogrocery pki: {directory} can't be used ({error.strerror})", file=sys.stderr)
        return 2
    return 0
