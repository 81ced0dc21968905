"""The home directory of one network on this machine: its secrets, generated once, and `run.json` while it runs."""

from __future__ import annotations

import base64
import os
import pwd
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import platformdirs

from autogrocery.kit.process.run import StartError
from autogrocery.lab.directories import make_private, require_writable
from autogrocery.lab.postgres.cluster import database_url

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT_HOME = Path("/var/lib/autogrocery")  # not below /root: PostgreSQL's account must be able to enter it
SECRET_BYTES = 32
MIN_SECRET_CHARACTERS = 32


def home_directory(environ: Mapping[str, str]) -> Path:
    """Return AUTOGROCERY_HOME, or the platform's directory for user data.

    Raises StartError if it depends on the home directory of an account that has none.
    """
    try:
        if chosen := environ.get("AUTOGROCERY_HOME"):
            return Path(chosen).expanduser().absolute()
    except RuntimeError:
        raise StartError("AUTOGROCERY_HOME begins with ~, and that account has no home: give a whole path") from None
    if os.geteuid() == 0:
        return ROOT_HOME
    try:
        found = Path(platformdirs.user_data_dir("autogrocery"))
    except RuntimeError:
        found = Path()
    if not found.is_absolute():  # without HOME and without an entry of this account in /etc/passwd
        raise StartError("this account has no home directory: set AUTOGROCERY_HOME, or HOME, to a directory of its own")
    return found


def open_home(home: Path) -> None:
    """Create `home` and `home/logs`. Raises StartError."""
    try:
        make_private(home)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        require_writable(home)
    except OSError as error:
        raise unusable(home, error) from None


def unusable(home: Path, error: OSError) -> StartError:
    """Return the error for a home that can't be read or written: whose it is, if it is another account's."""
    if isinstance(error, PermissionError) and (owner := owner_of(Path(error.filename or home))) is not None:
        return StartError(
            f"{home} belongs to {owner}: run this command as {owner}, or set AUTOGROCERY_HOME to a directory of your"
            " own or, for a command on a database, DATABASE_URL"
        )
    return StartError(f"{home} can't be used ({error.strerror}): set AUTOGROCERY_HOME to another directory")


def owner_of(file: Path) -> str | None:
    """Return the name of the other account that owns `file`, or what can be seen of its path; None if it is ours."""
    for place in (file, *file.parents):
        try:
            uid = place.stat().st_uid
        except OSError:
            continue  # below a directory that this account may not enter
        if uid == os.geteuid():
            return None
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"uid {uid}"
    return None


def open_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of `home/secrets.env`, generating the missing ones; the file has mode 0600.

    Raises StartError if a line is malformed or its value too short, naming the variable and not the value.
    """
    file = home / "secrets.env"
    values: dict[str, str] = {}
    if file.exists():
        file.chmod(0o600)
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
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
    """Return the content of `home/run.json`; None if its process has ended or there is no such file.

    Raises StartError if it is another account's and closed to this one.
    """
    try:
        content = (home / "run.json").read_bytes()
    except PermissionError as error:
        raise unusable(home, error) from None
    except OSError:
        return None
    try:
        run: dict[str, Any] = msgspec.json.decode(content)
        os.kill(run["pid"], 0)
    except PermissionError:
        return run  # it runs as another user
    except (OSError, OverflowError, msgspec.DecodeError, KeyError, TypeError):
        return None
    return run


def running_dsn(home: Path) -> str | None:
    """Return the URL of the embedded database that runs in `home`, None if there is none; for commands beside `up`.

    Raises StartError if this account may not read its password.
    """
    run = read_run(home)
    if not run or not (server := run.get("database")):
        return None
    try:
        password = Path(server["password_file"]).read_text(encoding="ascii").strip()
    except OSError as error:
        raise unusable(home, error) from None
    return database_url(server["user"], password, server["name"], server["socket"], server["port"])


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
