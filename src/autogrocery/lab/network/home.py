"""The home directory of one network on this machine: its secrets, generated once, and `run.json` while it runs."""

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

ROOT_HOME = Path("/var/lib/autogrocery")  # not below /root: PostgreSQL's account must be able to enter it
SECRET_BYTES = 32
MIN_SECRET_CHARACTERS = 32


def home_directory(environ: Mapping[str, str]) -> Path:
    """Return AUTOGROCERY_HOME, or the platform's directory for user data."""
    if chosen := environ.get("AUTOGROCERY_HOME"):
        return Path(chosen).expanduser().absolute()
    return ROOT_HOME if os.geteuid() == 0 else Path(platformdirs.user_data_dir("autogrocery"))


def open_home(home: Path) -> None:
    """Create `home` and `home/logs`. Raises StartError."""
    try:
        make_private(home)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"{home} can't be used ({error.strerror}): set AUTOGROCERY_HOME to another directory"
        ) from None


def open_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of `home/secrets.env`, generating the missing ones; the file has mode 0600.

    Raises StartError if a line is malformed or its value too short, naming the variable and not the value.
    """
    file = home / "secrets.env"
    values: dict[str, str] = {}
    if file.exists():
        file.chmod(0o600)
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if len(value) < MIN_SECRET_CHARACTERS:
                raise StartError(
                    f"{file}: {name[:40]} is too short or malformed; remove its line to have a new one generated"
                )
            values[name] = value
    generated = {
        "JWT_SECRET": secrets.token_urlsafe(SECRET_BYTES),
        "ROBOT_JWT_SECRET": secrets.token_urlsafe(SECRET_BYTES),
        "WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
    }
    if generated.keys() - values.keys():
        values = generated | values
        write_private(file, "".join(f"{name}={value}\n" for name, value in values.items()).encode())
    return values


def write_run(home: Path, run: Mapping[str, Any]) -> None:
    """Replace `home/run.json` with `run` in one step."""
    write_private(home / "run.json", msgspec.json.format(msgspec.json.encode(run)) + b"\n")


def read_run(home: Path) -> dict[str, Any] | None:
    """Return the content of `home/run.json`; None if its process has ended or there is no such file."""
    try:
        run: dict[str, Any] = msgspec.json.decode((home / "run.json").read_bytes())
        os.kill(run["pid"], 0)
    except PermissionError:
        return run  # it runs as another user
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
    return run


def running_dsn(home: Path) -> str | None:
    """Return the URL of the embedded database that runs in `home`, None if there is none; for commands beside `up`.

    Raises PermissionError if this user may not read its password.
    """
    run = read_run(home)
    if not run or not (server := run.get("database")):
        return None
    password = Path(server["password_file"]).read_text(encoding="ascii").strip()
    return (
        f"postgresql://{server['user']}:{password}@/{quote(server['name'])}"
        f"?host={quote(server['socket'])}&port={server['port']}"
    )


def write_private(file: Path, content: bytes) -> None:
    """Replace `file` in one step (write, fsync, rename), mode 0600."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(descriptor)
    fresh.replace(file)
