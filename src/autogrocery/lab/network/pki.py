"""The development keys of one network in one directory: a CA, a leaf for each process and for its operator, CURVE keys.

`NAME.crt` and `NAME.key` are a leaf, `ca.crt` and `ca.key` the CA; `NAME.curve` and `NAME.curve.pub` are for ZeroMQ, and
`NAME.curve.allowed` lists who may hear a publisher. What holds a secret is its owner's only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zmq
from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.kit.process.run import StartError
from autogrocery.lab.authority import Issued, issue, make_authority
from autogrocery.lab.directories import make_private
from autogrocery.lab.network.home import write_private

if TYPE_CHECKING:
    from pathlib import Path

CA_DAYS: Final = 365
LEAF_DAYS: Final = 90
CA_NAME: Final = "autogrocery development CA"
HERE: Final = ("localhost", "127.0.0.1", "::1")  # so that curl reaches the internal listener by its address


class Leaf(Struct, frozen=True):
    """Whose certificate: its names, and whether it serves, calls, or both."""

    names: tuple[str, ...]
    serves: bool = False
    calls: bool = False


LEAVES: Final = {
    "gateway": Leaf((identities.GATEWAY, *HERE), serves=True, calls=True),
    "inventory": Leaf((identities.INVENTORY,), serves=True, calls=True),
    "pricing": Leaf((identities.PRICING,), serves=True),
    "robots": Leaf((identities.ROBOTS,), calls=True),
    "analytics": Leaf((identities.ANALYTICS,), calls=True),
    "operator": Leaf((identities.OPERATOR,), calls=True),
}
HEARD_BY: Final = {"gateway": "analytics", "inventory": "robots"}
HEARS: Final = {listener: publisher for publisher, listener in HEARD_BY.items()}


def init(directory: Path) -> list[str]:
    """Make everything in `directory`, which must not hold anything of it yet; returns the names of the files.

    Raises StartError rather than overwrite a file.
    """
    made = _authority()
    for name in LEAVES:
        made |= _leaf(name, made["ca.crt"], made["ca.key"])
    for name in (*HEARD_BY, *HEARS):
        public, secret = zmq.curve_keypair()
        made |= {f"{name}.curve": secret + b"\n", f"{name}.curve.pub": public + b"\n"}
    for publisher, listener in HEARD_BY.items():
        made[f"{publisher}.curve.allowed"] = b"# may hear %s\n" % publisher.encode() + made[f"{listener}.curve.pub"]
    make_private(directory)
    for name in made:
        if (directory / name).exists():
            raise StartError(f"{directory / name} is there: nothing is overwritten; name another directory")
    for name, content in made.items():
        write_private(directory / name, content)
    return list(made)


def renew(directory: Path) -> list[str]:
    """Make every leaf and its key anew, by the CA of `directory`; who runs takes them with its next connection.

    Raises StartError if there is no CA, or its time is over.
    """
    try:
        certificate, key = (directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes()
    except OSError as error:
        raise StartError(f"{directory} has no CA ({error.strerror}): `autogrocery pki init` makes one") from None
    made: dict[str, bytes] = {}
    for name in LEAVES:
        made |= _leaf(name, certificate, key)
    for name, content in made.items():
        write_private(directory / name, content)
    return list(made)


def environment_of(name: str, directory: Path) -> dict[str, str]:
    """Return the settings with which the process `name` (or the operator) uses its keys in `directory`."""
    found = {"TLS_CA": "ca.crt", "TLS_CERT": f"{name}.crt", "TLS_KEY": f"{name}.key"}
    if name in HEARD_BY:
        found |= {"CURVE_SECRET_KEY_FILE": f"{name}.curve", "CURVE_ALLOWED_KEYS_FILE": f"{name}.curve.allowed"}
    if name in HEARS:
        found |= {"CURVE_SECRET_KEY_FILE": f"{name}.curve", "CURVE_SERVER_KEY_FILE": f"{HEARS[name]}.curve.pub"}
    return {setting: str(directory / file) for setting, file in found.items()}


def _authority() -> dict[str, bytes]:
    made = make_authority(CA_NAME, CA_DAYS)
    return {"ca.crt": made.certificate, "ca.key": made.key}


def _leaf(name: str, certificate: bytes, key: bytes) -> dict[str, bytes]:
    leaf = LEAVES[name]
    made = issue(Issued(certificate, key), leaf.names, LEAF_DAYS, serves=leaf.serves, calls=leaf.calls)
    return {f"{name}.crt": made.certificate, f"{name}.key": made.key}
