"""The command that prints a shell's completion of all commands and options, made from the parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shtab

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_completion(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """Print the script for a shell."""
    print(shtab.complete(arguments.parser, arguments.shell))
    return 0
