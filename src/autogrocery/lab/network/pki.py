"""The development keys of one network: a CA, a leaf certificate for each process and the operator, CURVE keys.

`NAME.crt` and `NAME.key` are a leaf, `ca.crt` and `ca.key` the CA; `NAME.curve` and `NAME.curve.pub` are for ZeroMQ,
and `NAME.curve.allowed` lists the subscribers of a publisher. Files with a secret have mode 0600.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zmq
from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.kit.process.run import StartError
from autogrocery.lab.authority import IssuedCertificate, issue, make_authority
from autogrocery.lab.directories import make_private
from autogrocery.lab.network.home import write_private

if TYPE_CHECKING:
    from pathlib import Path

CA_DAYS: Final = 365
LEAF_DAYS: Final = 90
CA_NAME: Final = "autogrocery development CA"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")  # curl reaches the internal listener by its address


class Leaf(Struct, frozen=True):
    """A leaf certificate: its names, and whether its process is a TLS server, a client, or both."""

    names: tuple[str, ...]
    server_auth: bool = False
    client_auth: bool = False


LEAVES: Final = {
    "gateway": Leaf((identities.GATEWAY, *LOOPBACK_NAMES), server_auth=True, client_auth=True),
    "inventory": Leaf((identities.INVENTORY,), server_auth=True, client_auth=True),
    "pricing": Leaf((identities.PRICING,), server_auth=True),
    "robots": Leaf((identities.ROBOTS,), client_auth=True),
    "analytics": Leaf((identities.ANALYTICS, *LOOPBACK_NAMES), server_auth=True, client_auth=True),
    "console": Leaf((identities.OPERATOR,), client_auth=True),
    "operator": Leaf((identities.OPERATOR,), client_auth=True),
}
SUBSCRIBER_OF: Final = {"gateway": "analytics", "inventory": "robots"}
PUBLISHER_OF: Final = {subscriber: publisher for publisher, subscriber in SUBSCRIBER_OF.items()}


def init(directory: Path) -> list[str]:
    """Make all keys in `directory`, which must not hold any of them; return the names of the files.

    Raises StartError if a file exists: nothing is overwritten.
    """
    files = _new_ca()
    for name in LEAVES:
        files |= _new_leaf(name, files["ca.crt"], files["ca.key"])
    for name in (*SUBSCRIBER_OF, *PUBLISHER_OF):
        public, secret = zmq.curve_keypair()
        files |= {f"{name}.curve": secret + b"\n", f"{name}.curve.pub": public + b"\n"}
    for publisher, subscriber in SUBSCRIBER_OF.items():
        files[f"{publisher}.curve.allowed"] = (
            b"# may subscribe to %s\n" % publisher.encode() + files[f"{subscriber}.curve.pub"]
        )
    make_private(directory)
    for name in files:
        if (directory / name).exists():
            raise StartError(f"{directory / name} exists: nothing is overwritten; name another directory")
    for name, content in files.items():
        write_private(directory / name, content)
    return list(files)


def renew(directory: Path) -> list[str]:
    """Replace every leaf and its key, signed by the CA of `directory`; a running process uses them for new connections.

    Raises StartError if there is no CA or it has expired.
    """
    try:
        certificate, key = (directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes()
    except OSError as error:
        raise StartError(f"{directory} has no CA ({error.strerror}): `autogrocery pki init` makes one") from None
    files: dict[str, bytes] = {}
    for name in LEAVES:
        files |= _new_leaf(name, certificate, key)
    for name, content in files.items():
        write_private(directory / name, content)
    return list(files)


def environment_of(name: str, directory: Path) -> dict[str, str]:
    """Return the settings that make the process `name` (or the operator) use its keys in `directory`."""
    env = {"TLS_CA": "ca.crt", "TLS_CERT": f"{name}.crt", "TLS_KEY": f"{name}.key"}
    if name in SUBSCRIBER_OF:
        env |= {"CURVE_SECRET_KEY_FILE": f"{name}.curve", "CURVE_ALLOWED_KEYS_FILE": f"{name}.curve.allowed"}
    if name in PUBLISHER_OF:
        env |= {"CURVE_SECRET_KEY_FILE": f"{name}.curve", "CURVE_SERVER_KEY_FILE": f"{PUBLISHER_OF[name]}.curve.pub"}
    return {setting: str(directory / file) for setting, file in env.items()}


def _new_ca() -> dict[str, bytes]:
    files = make_authority(CA_NAME, CA_DAYS)
    return {"ca.crt": files.certificate, "ca.key": files.key}


def _new_leaf(name: str, certificate: bytes, key: bytes) -> dict[str, bytes]:
    leaf = LEAVES[name]
    files = issue(
        IssuedCertificate(certificate, key),
        leaf.names,
        LEAF_DAYS,
        server_auth=leaf.server_auth,
        client_auth=leaf.client_auth,
    )
    return {f"{name}.crt": files.certificate, f"{name}.key": files.key}
