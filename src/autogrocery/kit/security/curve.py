"""ZeroMQ CURVE keys: publishers have an allow-list of subscribers, subscribers know their publisher's public key.

A key is 40 characters of Z85 in a file. The publisher is the CURVE server, whichever side binds. Its allow-list is
checked at every handshake (ZAP) and read again when the file changes; connections that are open stay open.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import zmq
from msgspec import Struct
from zmq.auth.asyncio import AsyncioAuthenticator

from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.key_files import file_version, read_key_file
from autogrocery.kit.security.transport import refuse_plaintext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.kit.security.transport import PublisherSettings, SubscriberSettings, TlsSettings

KEY_CHARACTERS: Final = 40
GROUP_AND_OTHERS: Final = 0o077  # permission bits
SECRET, ALLOWED, SERVER = "CURVE_SECRET_KEY_FILE", "CURVE_ALLOWED_KEYS_FILE", "CURVE_SERVER_KEY_FILE"


class AllowedKeys:
    """The allow-list of public keys in a file: the first word of each line.

    A line that begins with `#` and a blank is a comment.

    `callback(domain, key)` is the interface that pyzmq's authenticator calls.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; raises StartError naming the environment variable."""
        self._path = path
        self._version = file_version(ALLOWED, path)
        self._keys = self._read()

    def callback(self, _domain: str, key: bytes) -> bool:
        """Return whether the holder of `key` may subscribe.

        If the file can't be read any more, the last list stays in force.
        """
        try:
            version = file_version(ALLOWED, self._path)
            if version != self._version:
                self._version = version
                self._keys = self._read()
        except StartError as error:
            log.warning("allowed_keys_reload_failed", reason=str(error))
        allowed = key in self._keys
        if not allowed:
            log.warning("subscriber_refused", key=key.decode("ascii", "replace"))
        return allowed

    def _read(self) -> frozenset[bytes]:
        lines = (line.split() for line in _read_text(ALLOWED, self._path).splitlines())
        # Only a lone `#` is a comment: it is also a character of Z85, so a key may begin with it.
        return frozenset(_parse_key(ALLOWED, words[0]) for words in lines if words and words[0] != "#")


class PublisherKeys(Struct, frozen=True):
    """A publisher's own secret key, and the allow-list of its subscribers."""

    secret: bytes
    allowed: AllowedKeys

    @contextmanager
    def authenticating(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> Iterator[None]:
        """Accept only allowed keys at `socket` while the block runs.

        Enter before the socket binds or connects. It must be the only socket of `context`.
        """
        authenticator = AsyncioAuthenticator(context)
        authenticator.configure_curve_callback("*", self.allowed)
        authenticator.start()
        try:
            socket.curve_secretkey = self.secret
            socket.curve_publickey = zmq.curve_public(self.secret)
            socket.curve_server = True
            yield
        finally:
            authenticator.stop()


class SubscriberKeys(Struct, frozen=True):
    """A subscriber's own secret key, and the public key of its publishers."""

    secret: bytes
    server: bytes

    def apply_to(self, socket: zmq.Socket[Any]) -> None:
        """Make `socket` connect only to holders of the server's key; call it before the socket binds or connects."""
        socket.curve_secretkey = self.secret
        socket.curve_publickey = zmq.curve_public(self.secret)
        socket.curve_serverkey = self.server


def publisher_keys(settings: PublisherSettings, setting: str, value: str) -> PublisherKeys | None:
    """Return the keys that the CURVE_* settings name, None if they are unset.

    Raises StartError naming the variable if a key file is unusable, or if the CURVE_* settings are unset and an
    endpoint of `value` (comma list, the value of `setting`) leaves this machine.
    """
    if not _all_set({SECRET: settings.curve_secret_key_file, ALLOWED: settings.curve_allowed_keys_file}):
        _check_endpoints(settings, setting, value)
        return None
    return PublisherKeys(
        _read_secret(settings.curve_secret_key_file), AllowedKeys(Path(settings.curve_allowed_keys_file))
    )


def subscriber_keys(settings: SubscriberSettings, setting: str, value: str) -> SubscriberKeys | None:
    """Return the keys that the CURVE_* settings name, None if they are unset.

    Raises StartError as `publisher_keys` does.
    """
    if not _all_set({SECRET: settings.curve_secret_key_file, SERVER: settings.curve_server_key_file}):
        _check_endpoints(settings, setting, value)
        return None
    server = _parse_key(SERVER, _read_text(SERVER, Path(settings.curve_server_key_file)).strip())
    return SubscriberKeys(_read_secret(settings.curve_secret_key_file), server)


def _check_endpoints(settings: TlsSettings, setting: str, value: str) -> None:
    for endpoint in value.split(","):
        refuse_plaintext(settings, setting, endpoint.strip().lstrip(">@"), secured=False, by="CURVE_*")


def _all_set(paths: dict[str, str]) -> bool:
    """Return True if all paths are set, False if none is; raises StartError if only some are."""
    missing = [variable for variable, path in paths.items() if not path]
    if missing and len(missing) < len(paths):
        raise StartError(f"{missing[0]} is not set: {' and '.join(paths)} go together")
    return not missing


def _read_secret(name: str) -> bytes:
    path = Path(name)
    text = _read_text(SECRET, path)
    if stat.S_IMODE(path.stat().st_mode) & GROUP_AND_OTHERS:
        raise StartError(f"{SECRET}: others may read the file; chmod 600 it")
    return _parse_key(SECRET, text.strip())


def _read_text(variable: str, path: Path) -> str:
    try:
        return read_key_file(variable, path).decode("ascii")
    except UnicodeDecodeError:
        raise StartError(f"{variable}: the file holds no key of {KEY_CHARACTERS} characters of Z85") from None


def _parse_key(variable: str, text: str) -> bytes:
    """Return a key as bytes; raises StartError, which does not contain the text, if it is malformed."""
    try:
        if len(text) == KEY_CHARACTERS:
            zmq.curve_public(text.encode())  # raises ZMQError on what is not Z85
            return text.encode()
    except zmq.ZMQError:
        pass
    raise StartError(f"{variable}: the file holds no key of {KEY_CHARACTERS} characters of Z85")
