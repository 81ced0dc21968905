"""Run one role, or print the OpenAPI document of the gateway."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from autogrocery.kit.process.run import run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_role(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the role until SIGTERM or SIGINT."""
    if arguments.role == "console" and find_spec("nicegui") is None:
        print('autogrocery console: it needs the extra: pip install "autogrocery[console]"', file=sys.stderr)
        return 2
    chosen = dict(environ)
    if getattr(arguments, "speed", None):
        chosen["ROBOTS_SPEED"] = str(arguments.speed)
    return run(arguments.role, import_module(f"autogrocery.{arguments.role}.app").main, chosen)


def print_openapi(_arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """Print the public listener's OpenAPI document."""
    from autogrocery.gateway.app import openapi  # noqa: PLC0415 - loads the whole gateway, needed only here

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(openapi(), order="sorted"), indent=1).decode() + "\n")
    return 0
