"""What a run of the kit is given."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.kit.rpc.channel import Transport
    from autogrocery.kit.security.tls import Identity

ROBOT_SCOPE: Final = "robot:pick:"
DEFAULT_CLASS: Final = "dairy"
JWT_PARTS: Final = 3


class Robot(Struct, frozen=True):
    """The robot that the kit plays: its id, its class, which is the aisle it works in, and its bearer token."""

    robot_id: str
    robot_class: str
    token: str


class Options(Struct, frozen=True):
    """How to reach the peer, and what the kit may use.

    `restart_command` is a shell command that restarts the peer and returns. `webhook_listen` is the HOST:PORT at which
    the kit takes the peer's webhooks, signed with `webhook_key`. `only` selects lines whose id starts with one of its
    words. `patience` multiplies every deadline, for a peer on a slow machine. `webhook_repeat_s` is how long the kit
    waits for a webhook to come again. `transport` makes the calls: the gateway's own client, or the gRPC library.
    """

    target: str
    identity: Identity | None = None
    robot: Robot | None = None
    restart_command: str = ""
    webhook_listen: str = ""
    webhook_key: bytes = b""
    only: tuple[str, ...] = ()
    patience: float = 1.0
    transport: Transport = "h2"
    webhook_repeat_s: float = 60.0  # silence, the peer's own deadline, its back-off


class _Claims(Struct):
    device_id: str = ""
    scope: str = ""


def robot_of(token: str, robot_id: str = "", robot_class: str = "") -> Robot:
    """Return the robot of a token; an id and a class that are not given are read from the claims of a JWT.

    Raises ValueError if the id is neither given nor in the token.
    """
    claims = _claims_of(token)
    scoped = [scope.removeprefix(ROBOT_SCOPE) for scope in claims.scope.split() if scope.startswith(ROBOT_SCOPE)]
    name = robot_id or claims.device_id
    if not name:
        raise ValueError("the robot token names no robot: give --robot-id, and --robot-class")
    return Robot(name, robot_class or (scoped[0] if scoped else DEFAULT_CLASS), token)


def _claims_of(token: str) -> _Claims:
    """Return the claims that the kit uses, unverified: the peer verifies the token."""
    parts = token.split(".")
    try:
        body = base64.urlsafe_b64decode(parts[1] + "==") if len(parts) == JWT_PARTS else b"{}"
        return msgspec.json.decode(body, type=_Claims)
    except (ValueError, msgspec.MsgspecError):
        return _Claims()
