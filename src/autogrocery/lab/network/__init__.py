"""`up`: an embedded PostgreSQL and every role as child processes, started in order, stopped in reverse order."""

from __future__ import annotations

from autogrocery.lab.network import pki
from autogrocery.lab.network.home import home_directory, read_run, running_dsn
from autogrocery.lab.network.network import Stack, running_stack, up
from autogrocery.lab.network.options import Options, options_from
from autogrocery.lab.network.roles import ROLES, Role

__all__ = [
    "ROLES",
    "Options",
    "Role",
    "Stack",
    "home_directory",
    "options_from",
    "pki",
    "read_run",
    "running_dsn",
    "running_stack",
    "up",
]
