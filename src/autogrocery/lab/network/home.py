"""The home directory of one network on this machine: its secrets, made once, and `run.json`, there while it runs."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import platformdirs

from autogrocery.kit.process.run import StartError
from autogrocery.lab.directories import make_private

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOTS_HOME = Path("/var/lib/autogrocery")  # not root's own: PostgreSQL's user must get there
SECRET_BYTES = 32
SHORTEST_CHARACTERS = 32


def home_directory(environ: Mapping[str, str]) -> Path:
    """Return AUTOGROCERY_HOME, or the platform's place for a user's data."""
    if chosen := environ.get("AUTOGROCERY_HOME"):
        return Path(chosen).expanduser().absolute()
    return ROOTS_HOME if os.geteuid() == 0 else Path(platformdirs.user_data_dir("autogrocery"))


def open_home(home: Path) -> None:
    """Make `home` and `home/logs`. Raises StartError."""
    try:
        make_private(home)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"{home} can't be used ({error.strerror}): set AUTOGROCERY_HOME to another directory"
        ) from None


def open_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of `home/secrets.env`, making those that are missing; the file is its owner's only.

    Raises StartError when a line is no secret, naming the variable.
    """
    file = home / "secrets.env"
    found: dict[str, str] = {}
    if file.exists():
        file.chmod(0o600)
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if len(value) < SHORTEST_CHARACTERS:
                raise StartError(f"{file}: {name[:40]} is too short or malformed; remove its line to have it made anew")
            found[name] = value
    made = {
        "JWT_SECRET": secrets.token_urlsafe(SECRET_BYTES),
        "ROBOT_JWT_SECRET": secrets.token_urlsafe(SECRET_BYTES),
        "WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
    }
    if made.keys() - found.keys():
        found = made | found
        write_private(file, "".join(f"{name}={value}\n" for name, value in found.items()).encode())
    return found


def write_run(home: Path, facts: Mapping[str, Any]) -> None:
    """Put `facts` into `home/run.json`, whole or not at all."""
    write_private(home / "run.json", msgspec.json.format(msgspec.json.encode(facts)) + b"\n")


def read_run(home: Path) -> dict[str, Any] | None:
    """Return what runs in `home`, None when nothing does or a killed one left the file behind."""
    try:
        facts: dict[str, Any] = msgspec.json.decode((home / "run.json").read_bytes())
        os.kill(facts["pid"], 0)
    except PermissionError:
        return facts  # it runs as somebody else
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
    return facts


def running_dsn(home: Path) -> str | None:
    """Return the URL of the embedded database that runs in `home`, for commands beside `up`; None when there is none.

    Raises PermissionError for somebody who may not read its password.
    """
    facts = read_run(home)
    if not facts or not (place := facts.get("database")):
        return None
    password = Path(place["password_file"]).read_text(encoding="ascii").strip()
    return (
        f"postgresql://{place['user']}:{password}@/{quote(place['name'])}"
        f"?host={quote(place['socket'])}&port={place['port']}"
    )


def write_private(file: Path, content: bytes) -> None:
    """Replace `file` in one step, readable by its owner only."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(descriptor)
    fresh.replace(file)
