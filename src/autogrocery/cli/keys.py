"""Commands on keys, and the identity with which other commands call peers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import load
from autogrocery.kit.security.tls import identity_of
from autogrocery.kit.security.transport import TlsSettings
from autogrocery.lab.network import home_directory, pki, read_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from autogrocery.kit.security.tls import Identity


def run_init(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Create a development CA and the keys of every process."""

    def work(directory: Path) -> None:
        made = pki.init(directory)
        print(f"{len(made)} files in {directory}: a development CA ({pki.CA_DAYS} days), leaves ({pki.LEAF_DAYS} days)")
        print("renew the leaves in time with: autogrocery pki renew; keep ca.key private, no process needs it")

    return _run(work, arguments, environ)


def run_renew(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Issue new leaf certificates from the same CA."""

    def work(directory: Path) -> None:
        made = pki.renew(directory)
        print(f"{len(made)} files in {directory} renewed for {pki.LEAF_DAYS} days; running processes reload them")

    return _run(work, arguments, environ)


def operator_identity(environ: Mapping[str, str], links: Mapping[str, str] | None = None) -> Identity | None:
    """Return the identity of the TLS_* variables, else the operator's of the running `up --tls`, else None.

    `links` maps settings to the addresses that the command calls; raises StartError as `identity_of` does.
    """
    place = (read_run(home_directory(environ)) or {}).get("pki")
    ours = pki.environment_of("operator", Path(place)) if place and not environ.get("TLS_CA") else {}
    return identity_of(load(TlsSettings, {**environ, **ours}), links=links)


def _run(work: Callable[[Path], None], arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
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
