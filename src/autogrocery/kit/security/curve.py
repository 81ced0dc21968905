"""ZeroMQ's CURVE: publishers know who may listen, listeners know whom they hear. A key is 40 characters of Z85 in a file.

The publisher is CURVE's server whoever binds. Its allow-list is asked at every handshake (ZAP) and read again when the file
changes; who is connected stays connected.
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
from autogrocery.kit.security.key_files import content_of, stamp_of
from autogrocery.kit.security.links import refuse_plaintext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.kit.security.links import LinkSettings, PublisherSettings, SubscriberSettings

KEY_CHARACTERS: Final = 40
OTHERS_MAY: Final = 0o077
SECRET, ALLOWED, SERVER = "CURVE_SECRET_KEY_FILE", "CURVE_ALLOWED_KEYS_FILE", "CURVE_SERVER_KEY_FILE"


class Allowed:
    """The public keys in a file, the first word of each line; `#` and a space begin a remark.

    In the form that pyzmq asks for: `callback(domain, key)`.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; raises StartError naming the variable."""
        self._path = path
        self._stamp = stamp_of(ALLOWED, path)
        self._keys = self._read()

    def callback(self, _domain: str, key: bytes) -> bool:
        """Say whether the holder of `key` may listen; a list that can't be read any more leaves the last one in force."""
        try:
            stamp = stamp_of(ALLOWED, self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._keys = self._read()
        except StartError as error:
            log.warning("allowed_keys_not_taken", reason=str(error))
        allowed = key in self._keys
        if not allowed:
            log.warning("listener_refused", key=key.decode("ascii", "replace"))
        return allowed

    def _read(self) -> frozenset[bytes]:
        lines = (line.split() for line in _text_of(ALLOWED, self._path).splitlines())
        return frozenset(_checked(ALLOWED, words[0]) for words in lines if words and words[0] != "#")  # `#` is Z85 too


class PublisherKeys(Struct, frozen=True):
    """A publisher's own secret key, and who may listen."""

    secret: bytes
    allowed: Allowed

    @contextmanager
    def guarding(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> Iterator[None]:
        """Let only allowed keys in at `socket`, the only one of `context`, while the block runs; before it binds or connects."""
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
    """A subscriber's own secret key, and the public key of the publishers it listens to."""

    secret: bytes
    server: bytes

    def put_on(self, socket: zmq.Socket[Any]) -> None:
        """Make `socket` listen to holders of the server's key only; before it binds or connects."""
        socket.curve_secretkey = self.secret
        socket.curve_publickey = zmq.curve_public(self.secret)
        socket.curve_serverkey = self.server


def publisher_keys(settings: PublisherSettings, setting: str, value: str) -> PublisherKeys | None:
    """Return what the CURVE_* settings name, None if they are unset.

    Raises StartError naming the variable, also if an endpoint of `value`, told by `setting`, leaves this machine without them.
    """
    if not _together({SECRET: settings.curve_secret_key_file, ALLOWED: settings.curve_allowed_keys_file}):
        _check_endpoints(settings, setting, value)
        return None
    return PublisherKeys(_secret_of(settings.curve_secret_key_file), Allowed(Path(settings.curve_allowed_keys_file)))


def subscriber_keys(settings: SubscriberSettings, setting: str, value: str) -> SubscriberKeys | None:
    """Return what the CURVE_* settings name, None if they are unset; raises StartError as `publisher_keys`."""
    if not _together({SECRET: settings.curve_secret_key_file, SERVER: settings.curve_server_key_file}):
        _check_endpoints(settings, setting, value)
        return None
    server = _checked(SERVER, _text_of(SERVER, Path(settings.curve_server_key_file)).strip())
    return SubscriberKeys(_secret_of(settings.curve_secret_key_file), server)


def _check_endpoints(settings: LinkSettings, setting: str, value: str) -> None:
    for endpoint in value.split(","):
        refuse_plaintext(settings, setting, endpoint.strip().lstrip(">@"), secured=False, by="CURVE_*")


def _together(chosen: dict[str, str]) -> bool:
    missing = [variable for variable, path in chosen.items() if not path]
    if missing and len(missing) < len(chosen):
        raise StartError(f"{missing[0]} is not set: {' and '.join(chosen)} go together")
    return not missing


def _secret_of(name: str) -> bytes:
    path = Path(name)
    text = _text_of(SECRET, path)
    if stat.S_IMODE(path.stat().st_mode) & OTHERS_MAY:
        raise StartError(f"{SECRET}: others may read the file; chmod 600 it")
    return _checked(SECRET, text.strip())


def _text_of(variable: str, path: Path) -> str:
    try:
        return content_of(variable, path).decode("ascii")
    except UnicodeDecodeError:
        raise StartError(f"{variable}: the file holds no key of {KEY_CHARACTERS} characters of Z85") from None


def _checked(variable: str, text: str) -> bytes:
    """Return a key as bytes; raises StartError that does not show it."""
    try:
        if len(text) == KEY_CHARACTERS:
            zmq.curve_public(text.encode())  # refuses what is no Z85
            return text.encode()
    except zmq.ZMQError:
        pass
    raise StartError(f"{variable}: the file holds no key of {KEY_CHARACTERS} characters of Z85")
